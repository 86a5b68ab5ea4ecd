//! What a site does beside sending files: hosts and routes, redirects and rewrites, header fields, cross-origin rules,
//! passwords, error pages, and one page for every path.
//!
//! [`SiteConfig`] says what; [`Site`] is it, checked. Every mistake is told when a site is made, with its place; no
//! request fails on one. The parts are pure (patterns, targets, fields, CORS, password files), and `app` alone answers.

mod app;
mod auth;
#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod checks;
mod config;
mod cors;
mod fields;
mod htpasswd;
mod pages;
mod pattern;
mod routes;
mod target;
#[cfg(test)]
mod testing;

pub use app::{REWRITES_MAX, Site};
pub use auth::{AuthError, BasicAuth, VERIFICATIONS_MAX};
pub use config::{Action, FilesRoute, Match, Policy, Problem, Redirect, Route, SiteConfig, SiteError, Spa};
pub use cors::{Cors, CorsError};
pub use fields::{FieldError, FieldRule, Security};
pub use htpasswd::{FileError, LineError, USERS_MAX};
pub use pages::{ERROR_PAGE_MAX, PageError};
pub use pattern::{HostPattern, PathPattern, PatternError};
pub use target::{Target, TargetError};
