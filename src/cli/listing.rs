//! `serve --listing`: whether directories without an index file are listed.

use clap::Args;

/// Listings of directories.
#[derive(Args, Debug)]
#[command(next_help_heading = "Directories")]
pub(super) struct Listing {
    /// List a directory that has no index.html, for people and as JSON (?format=json)
    #[arg(long, env = "TIDEMILL_LISTING", hide_env_values = true)]
    listing: bool,
}

impl Listing {
    /// Whether they are wanted.
    pub(super) const fn lists(&self) -> bool {
        self.listing
    }
}
