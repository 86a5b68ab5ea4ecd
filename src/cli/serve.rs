//! `tidemill serve`: static files.

use std::path::PathBuf;

use clap::Args;
use tidemill::proto::http1::Http;
use tidemill::reactor::Endpoint;

use super::access::Access;
use super::common::Limits;
use super::listing::Listing;
use super::values::endpoint;
use crate::daemon::Daemon;
use crate::daemon::failure::Failure;

/// Serve the files beneath a directory over HTTP
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Serve {
    /// The directory; nothing outside it is ever sent
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,

    /// Where to listen: [tcp:]HOST:PORT, unix:PATH, unix:@NAME or fd:N, options after commas; repeats
    #[arg(long, value_name = "ENDPOINT", env = "TIDEMILL_LISTEN", hide_env_values = true)]
    #[arg(default_value = "127.0.0.1:8000", value_parser = endpoint, value_delimiter = ';')]
    listen: Vec<Endpoint>,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    listing: Listing,
    #[command(flatten)]
    limits: Limits,
}

const EXAMPLES: &str = "\
A directory is answered with its index.html. Names that begin with a dot are not served, except /.well-known/.

Examples:
  tidemill serve                                     the current directory on http://127.0.0.1:8000/
  tidemill serve ~/Downloads --listing               directories without an index are listed
  tidemill serve site --listen 8080                  ./site on port 8080 of this machine alone
  tidemill serve site --listen '[::]:80,v6only=off'  for everyone, over IPv6 and IPv4";

impl Serve {
    pub(super) fn run(self) -> Result<u8, Failure> {
        let files = Daemon::files(&self.dir, self.listing.lists())?;
        let mut daemon = Daemon::new(self.limits.drain_timeout)?;
        daemon.log_access(self.access.start()?);
        daemon.serve_http(Http::with_config(files, self.limits.bounds().http()), "files", &self.listen)?;
        daemon.run()
    }
}
