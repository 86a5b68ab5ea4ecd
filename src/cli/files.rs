//! Flags of how files are served: types, codings, caching by clients, index files, links and hidden names.

use clap::{Args, ValueEnum};
use tidemill::service::files::{Coding, Gzip, Hidden, Options, OptionsError, Symlinks};

use crate::daemon::failure::Failure;

/// How files are served.
#[derive(Args, Debug)]
#[command(next_help_heading = "Files")]
pub(super) struct Files {
    /// Look for files compressed beforehand, such as app.js.br beside app.js: br, zst, gz, the preferred one first
    #[arg(long, value_name = "CODING", env = "TIDEMILL_PRECOMPRESSED", hide_env_values = true)]
    #[arg(value_delimiter = ',', value_parser = coding)]
    precompressed: Vec<Coding>,

    /// Compress text and the like of 1 KiB to 8 MiB when it is asked for, on a thread, and keep the result
    #[arg(long, env = "TIDEMILL_GZIP", hide_env_values = true)]
    gzip: bool,

    /// Cache-Control of files whose name matches, the first match counts, such as 'assets/**=max-age=31536000'; repeats
    #[arg(long, value_name = "GLOB=VALUE", env = "TIDEMILL_CACHE_CONTROL", hide_env_values = true)]
    #[arg(value_parser = cache_control)]
    cache_control: Vec<(String, String)>,

    /// The type of files with an extension, such as md=text/markdown; repeats
    #[arg(long, value_name = "EXT=TYPE", env = "TIDEMILL_MIME", hide_env_values = true)]
    #[arg(value_parser = mime)]
    mime: Vec<(String, String)>,

    /// What text is declared to be in, or none
    #[arg(long, value_name = "NAME", env = "TIDEMILL_CHARSET", hide_env_values = true)]
    #[arg(default_value = "utf-8", value_parser = charset)]
    charset: String,

    /// Serve names that begin with a dot too, such as .git and .env
    #[arg(long, env = "TIDEMILL_HIDDEN", hide_env_values = true)]
    hidden: bool,

    /// Symbolic links to follow; with follow, whoever can make one can publish what this process can read
    #[arg(long, value_name = "WHICH", env = "TIDEMILL_SYMLINKS", hide_env_values = true)]
    #[arg(default_value = "inside")]
    symlinks: Links,

    /// The file that answers for its directory; repeats, and the first that is there counts
    #[arg(long, value_name = "NAME", env = "TIDEMILL_INDEX", hide_env_values = true)]
    #[arg(default_value = "index.html", value_parser = index)]
    index: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Links {
    /// Those that stay beneath the directory
    Inside,
    /// None
    None,
    /// All, wherever they lead
    Follow,
}

impl Files {
    /// What the service is to be told.
    pub(super) fn options(&self) -> Result<Options, Failure> {
        self.build().map_err(|e| Failure::usage(e.to_string()))
    }

    fn build(&self) -> Result<Options, OptionsError> {
        let mut options = Options::default()
            .precompressed(&self.precompressed)
            .gzip(self.gzip.then(Gzip::default))
            .charset((self.charset != NONE).then_some(&*self.charset))?
            .hidden(if self.hidden { Hidden::Allow } else { Hidden::Refuse })
            .index(self.index.iter().map(String::as_str))?
            .symlinks(match self.symlinks {
                Links::Inside => Symlinks::Inside,
                Links::None => Symlinks::None,
                Links::Follow => Symlinks::Follow,
            });
        for (glob, value) in &self.cache_control {
            options = options.cache_control(glob, value)?;
        }
        for (extension, kind) in &self.mime {
            options = options.mime(extension, kind)?;
        }
        Ok(options)
    }
}

const NONE: &str = "none";

fn coding(text: &str) -> Result<Coding, String> {
    let is_called = |coding: &Coding| text == coding.name() || text == coding.extension();
    Coding::ALL.into_iter().find(is_called).ok_or_else(|| "write br, zst or gz".to_owned())
}

fn pair(text: &str, want: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("write {want}"))?;
    Ok((name.to_owned(), value.to_owned()))
}

fn cache_control(text: &str) -> Result<(String, String), String> {
    let (glob, value) = pair(text, "GLOB=VALUE, such as '*.css=max-age=3600'")?;
    judged(Options::default().cache_control(&glob, &value)).map(|()| (glob, value))
}

fn mime(text: &str) -> Result<(String, String), String> {
    let (extension, kind) = pair(text, "EXT=TYPE, such as md=text/markdown")?;
    judged(Options::default().mime(&extension, &kind)).map(|()| (extension, kind))
}

fn charset(text: &str) -> Result<String, String> {
    judged(Options::default().charset(Some(text))).map(|()| text.to_owned())
}

fn index(text: &str) -> Result<String, String> {
    judged(Options::default().index([text])).map(|()| text.to_owned())
}

fn judged(options: Result<Options, OptionsError>) -> Result<(), String> {
    options.map(drop).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_judged_when_it_is_read() {
        assert_eq!(coding("br"), Ok(Coding::Brotli));
        assert_eq!((coding("zst"), coding("zstd")), (Ok(Coding::Zstd), Ok(Coding::Zstd)));
        assert_eq!((coding("gz"), coding("gzip")), (Ok(Coding::Gzip), Ok(Coding::Gzip)));
        assert!(coding("deflate").is_err() && coding("").is_err());
        let rule = cache_control("*.css=public, max-age=60").unwrap();
        assert_eq!(rule, ("*.css".to_owned(), "public, max-age=60".to_owned()));
        for bad in ["x", "=max-age=1", "[=max-age=1", "*=", "*=a\nb"] {
            assert!(cache_control(bad).is_err(), "{bad:?}");
        }
        assert!(mime("md=text/markdown; charset=utf-8").is_ok());
        for bad in ["md", "=text/html", "md=", "md=html", "a.b=text/html"] {
            assert!(mime(bad).is_err(), "{bad:?}");
        }
        assert!(charset("none").is_ok() && charset("").is_err() && charset("a b").is_err());
        assert!(index("home.htm").is_ok() && index("a/b").is_err() && index("..").is_err());
    }
}
