//! Static files beneath a root directory: everything but the HTTP exchange itself.
//!
//! [`Files`] joins the parts: [`path`] turns a request path into a name, [`Root`] opens the name and nothing outside,
//! [`Cache`] keeps what is hot and checks it each turn, [`Entry`] is a file ready to be sent. [`plan()`] then decides
//! between 200, 206, 304, 412 and 416. Nothing here owns a socket or reads a clock: turn and time are parameters.

mod app;
mod cache;
#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod checks;
mod cold;
mod condition;
mod date;
mod disk;
mod encoding;
mod entry;
mod glob;
mod gzip;
pub mod listing;
mod lookup;
mod meta;
mod mime;
mod multipart;
mod options;
pub mod path;
mod plan;
pub mod range;
mod redirect;
mod represent;
mod root;
mod stepwise;
#[cfg(test)]
mod testing;
mod validator;
mod waiting;

pub use app::FileApp;
pub use cache::{Cache, Kept, Limits, Usage};
pub use cold::{Cold, Warmed};
pub use condition::{Fields, Verdict, evaluate};
pub use encoding::{AcceptEncoding, Coding};
pub use entry::{Body, Entry, LoadError};
pub use glob::{Glob, GlobError};
pub use gzip::Gzip;
pub use lookup::{Files, Lookup};
pub use meta::{Meta, SETTLE_S, Stamp};
pub use mime::content_type;
pub use multipart::Multipart;
pub use options::{Hidden, Options, OptionsError, Symlinks};
pub use path::{PathError, RelPath, Resolved};
pub use plan::{Plan, plan};
pub(crate) use redirect::{encode_path, encode_query};
pub use redirect::{error_page, escape_html, location, relative_location};
pub use root::{OpenError, Opened, Resolver, Root};
pub use validator::{BadTag, Validators};
