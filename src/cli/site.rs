//! Flags of `serve` that make a site of the files: redirects, rewrites, fields, cross-origin rules, passwords, hosts.
//!
//! Owns their syntax. What they mean is judged by [`service::site`](tidemill::service::site); without any of them the
//! files are served as they are.

use std::path::{Path, PathBuf};

use clap::Args;
use tidemill::service::files::Files;
use tidemill::service::site::{
    Action, BasicAuth, Cors, FieldRule, FilesRoute, HostPattern, Match, Policy, Problem, Redirect, Route,
    Security, Site, SiteConfig, Spa,
};

use crate::daemon::failure::Failure;

/// What is done beside sending files.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Site")]
pub(super) struct SiteFlags {
    /// Send clients elsewhere: '/old=/new', '/old/*=/new/$rest$query,308', '/*=https://example.org$path'; repeats
    #[arg(long, value_name = "FROM=TO[,STATUS]", env = "TIDEMILL_REDIRECT", hide_env_values = true)]
    #[arg(value_parser = redirect, value_delimiter = ';')]
    redirect: Vec<Rule<Redirect>>,

    /// Serve another path in place of this one, unseen by the client: '/app/*=/index.html'; repeats
    #[arg(long, value_name = "FROM=TO", env = "TIDEMILL_REWRITE", hide_env_values = true)]
    #[arg(value_parser = rewrite, value_delimiter = ';')]
    rewrite: Vec<Rule<String>>,

    /// Answer missing pages with /index.html, for clients that accept HTML; not beneath /api and /.well-known
    #[arg(long, env = "TIDEMILL_SPA", hide_env_values = true)]
    spa: bool,

    /// Send this file of the directory with an error: '404=/404.html'; repeats
    #[arg(long, value_name = "STATUS=FILE", env = "TIDEMILL_ERROR_PAGE", hide_env_values = true)]
    #[arg(value_parser = error_page, value_delimiter = ';')]
    error_page: Vec<(u16, String)>,

    /// Set a field of every answer; 'Name:' alone removes it; repeats, and lines of one name stand together
    #[arg(long, value_name = "NAME: VALUE", env = "TIDEMILL_HEADER", hide_env_values = true)]
    #[arg(value_parser = header)]
    header: Vec<Header>,

    /// Let pages of this origin read the answers: 'https://app.example.org', or '*' for all; repeats
    #[arg(long, value_name = "ORIGIN", env = "TIDEMILL_CORS", hide_env_values = true)]
    #[arg(value_parser = origin, value_delimiter = ';')]
    cors: Vec<String>,

    /// Send nosniff, Referrer-Policy, X-Frame-Options, frame-ancestors and a Permissions-Policy
    #[arg(long, env = "TIDEMILL_SECURITY_HEADERS", hide_env_values = true)]
    security_headers: bool,

    /// Ask for a user and password of this file, made by 'htpasswd -B'; it is read again when it changes
    #[arg(long, value_name = "FILE", env = "TIDEMILL_AUTH", hide_env_values = true)]
    auth: Option<PathBuf>,

    /// What a browser shows when it asks for the password [default: Restricted]
    #[arg(long, value_name = "TEXT", env = "TIDEMILL_REALM", hide_env_values = true, requires = "auth")]
    realm: Option<String>,

    /// Serve another directory for a host: 'docs.example.org=docs', '*.example.org=all'; repeats
    #[arg(long, value_name = "NAME=DIR", env = "TIDEMILL_HOST", hide_env_values = true)]
    #[arg(value_parser = host, value_delimiter = ';')]
    host: Vec<Host>,
}

/// A rule as it was written, and what it came to.
#[derive(Clone, Debug)]
struct Rule<T> {
    text: String,
    when: Match,
    then: T,
}

#[derive(Clone, Debug)]
struct Header {
    name: String,
    value: String,
}

#[derive(Clone, Debug)]
struct Host {
    name: HostPattern,
    dir: PathBuf,
}

impl SiteFlags {
    /// Whether there is anything to do beside sending the files of one directory.
    pub(super) fn is_empty(&self) -> bool {
        self.redirect.is_empty()
            && self.rewrite.is_empty()
            && self.error_page.is_empty()
            && self.header.is_empty()
            && self.cors.is_empty()
            && self.host.is_empty()
            && self.auth.is_none()
            && !self.spa
            && !self.security_headers
    }

    /// The site. `files` gives those of a directory, `dir` is the one for hosts without their own.
    pub(super) fn site(
        self,
        dir: &Path,
        mut files: impl FnMut(&Path) -> Result<Files, Failure>,
    ) -> Result<Site, Failure> {
        let dirs = || self.host.iter().map(|host| host.dir.as_path()).chain([dir]);
        if let Some(auth) = &self.auth {
            dirs().try_for_each(|dir| is_apart(auth, dir))?;
        }
        let mut named: Vec<String> = Vec::new();
        let mut routes = Vec::new();
        for rule in &self.redirect {
            named.push(format!("--redirect '{}'", rule.text));
            let policy = Policy { error_pages: Vec::new(), ..self.policy()? };
            routes.push(Route::redirect(rule.when.clone(), rule.then.clone()).with(policy));
        }
        for rule in &self.rewrite {
            named.push(format!("--rewrite '{}'", rule.text));
            let route = Route::rewrite(rule.when.clone(), &rule.then);
            routes.push(route.map_err(|e| Failure::usage(format!("--rewrite '{}': {e}", rule.text)))?);
        }
        // Whole names before those that stand for many, and the directory for all others last.
        let mut hosts: Vec<&Host> = self.host.iter().collect();
        hosts.sort_by_key(|host| host.name.is_wildcard());
        let matches = hosts
            .iter()
            .map(|host| Match { hosts: vec![host.name.clone()], ..Match::any() })
            .chain([Match::any()]);
        for (when, dir) in matches.zip(hosts.iter().map(|host| host.dir.as_path()).chain([dir])) {
            named.push(format!("'{}'", dir.display()));
            let spa = self.spa.then(Spa::default);
            let action = Action::Files(FilesRoute { files: files(dir)?, strip_prefix: false, spa });
            routes.push(Route::new(when, action).with(self.policy()?));
        }
        Site::new(SiteConfig { routes }).map_err(|e| {
            if let Problem::Auth(path, why) = &e.why {
                return Failure::password_file(path, why);
            }
            let place = named.get(e.route).map(String::as_str).unwrap_or_default();
            Failure::usage(format!("{place}: {}", e.why))
        })
    }

    fn policy(&self) -> Result<Policy, Failure> {
        let cors = (!self.cors.is_empty()).then(|| Cors::origins(self.cors.clone()));
        let realm = self.realm.as_deref().unwrap_or("Restricted");
        let auth = self.auth.as_ref().map(|file| BasicAuth::new(file).realm(realm));
        let security = self.security_headers.then(Security::default);
        Ok(Policy { fields: self.fields()?, security, cors, auth, error_pages: self.error_page.clone() })
    }

    /// The first line of a name replaces what the answer has, further ones stand beside it.
    fn fields(&self) -> Result<Vec<FieldRule>, Failure> {
        let mut rules = Vec::new();
        for (at, Header { name, value }) in self.header.iter().enumerate() {
            let earlier = self.header.iter().take(at).any(|other| other.name.eq_ignore_ascii_case(name));
            let rule = if value.is_empty() {
                FieldRule::remove(name)
            } else if earlier || name.eq_ignore_ascii_case("vary") {
                FieldRule::add(name, value)
            } else {
                FieldRule::set(name, value)
            };
            rules.push(rule.map_err(|e| Failure::usage(format!("--header '{name}': {e}")))?);
        }
        Ok(rules)
    }
}

/// A password file in a directory that is served could be downloaded, were it ever renamed or a rule changed.
fn is_apart(file: &Path, dir: &Path) -> Result<(), Failure> {
    match (file.canonicalize(), dir.canonicalize()) {
        (Ok(real), Ok(root)) if real.starts_with(&root) => Err(Failure::usage(format!(
            "the password file '{}' lies in '{}', which is served: move it out",
            file.display(),
            dir.display()
        ))),
        // That either cannot be had is told by whoever opens it.
        _ => Ok(()),
    }
}

fn split(text: &str, what: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((from, to)) if !from.is_empty() && !to.is_empty() => Ok((from.to_owned(), to.to_owned())),
        _ => Err(format!("write {what}")),
    }
}

fn redirect(text: &str) -> Result<Rule<Redirect>, String> {
    let (from, to) = split(text, "FROM=TO or FROM=TO,STATUS, such as /old=/new,308")?;
    let (to, status) = match to.rsplit_once(',') {
        Some((before, status)) if status.len() == 3 && status.bytes().all(|b| b.is_ascii_digit()) => {
            (before, status.parse().map_err(|_| "the status is no number")?)
        }
        _ => (to.as_str(), 302),
    };
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Err(format!("a redirect has status 301, 302, 303, 307 or 308, not {status}"));
    }
    let when = Match::path(&from).map_err(|e| e.to_string())?;
    let then = Redirect::new(status, to).map_err(|e| e.to_string())?;
    Ok(Rule { text: text.to_owned(), when, then })
}

fn rewrite(text: &str) -> Result<Rule<String>, String> {
    let (from, to) = split(text, "FROM=TO, such as /old/*=/new/$rest")?;
    let when = Match::path(&from).map_err(|e| e.to_string())?;
    Route::rewrite(when.clone(), &to).map_err(|e| e.to_string())?;
    Ok(Rule { text: text.to_owned(), when, then: to })
}

fn error_page(text: &str) -> Result<(u16, String), String> {
    let (status, file) = split(text, "STATUS=FILE, such as 404=/404.html")?;
    match status.parse() {
        Ok(status @ 400..=599) => Ok((status, file)),
        _ => Err("an error page is for a status from 400 to 599".to_owned()),
    }
}

fn header(text: &str) -> Result<Header, String> {
    let (name, value) =
        text.split_once(':').ok_or("write 'Name: value', with a colon, or 'Name:' to remove it")?;
    let value = value.trim_matches([' ', '\t']);
    let judged = match value {
        "" => FieldRule::remove(name),
        value => FieldRule::add(name, value),
    };
    judged.map_err(|e| e.to_string())?;
    Ok(Header { name: name.to_owned(), value: value.to_owned() })
}

fn origin(text: &str) -> Result<String, String> {
    Cors::origins([text]).check().map(|()| text.to_owned()).map_err(|e| e.to_string())
}

fn host(text: &str) -> Result<Host, String> {
    let (name, dir) = split(text, "NAME=DIR, such as docs.example.org=docs")?;
    Ok(Host { name: HostPattern::new(&name).map_err(|e| e.to_string())?, dir: dir.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_split_at_their_first_equals_sign() {
        let rule = redirect("/a=/b?c=d,308").unwrap();
        assert_eq!((rule.then.status, rule.then), (308, Redirect::new(308, "/b?c=d").unwrap()));
        assert_eq!(redirect("/a=/b,c").unwrap().then, Redirect::new(302, "/b,c").unwrap());
        assert!(rewrite("/a/*=/b/$rest").unwrap().when.path.matches(b"/a/x"));
        assert_eq!(error_page("404=e/404.html").unwrap(), (404, "e/404.html".to_owned()));
        assert!(host("*.example.org=x=y").unwrap().name.is_wildcard());
        assert!(header("ETag:").unwrap().value.is_empty());
    }

    #[test]
    fn what_makes_no_sense_is_told_in_its_own_words() {
        let told = [
            redirect("/a").unwrap_err(),
            redirect("/a=//b").unwrap_err(),
            redirect("/a=/b,200").unwrap_err(),
            redirect("a=/b").unwrap_err(),
            rewrite("/a=https://b/").unwrap_err(),
            error_page("200=/x").unwrap_err(),
            error_page("404=").unwrap_err(),
            header("no colon").unwrap_err(),
            header("Content-Length: 3").unwrap_err(),
            header("X: a\r\nY: b").unwrap_err(),
            origin("example.org").unwrap_err(),
            host("a b=dir").unwrap_err(),
        ];
        let words = [
            "FROM=TO",
            "one '/'",
            "not 200",
            "begins with '/'",
            "path of this server",
            "400 to 599",
            "STATUS=FILE",
            "colon",
            "itself",
            "line break",
            "origin",
            "host",
        ];
        for (told, word) in told.iter().zip(words) {
            assert!(told.contains(word), "{told:?} has no {word:?}");
        }
    }
}
