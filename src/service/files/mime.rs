//! Content types by extension: a table and what an operator adds to it. Nothing of the content is looked at.
//!
//! Owns besides what a type says about compression: whether it pays, or was done already.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// What a name without a known extension is: bytes, which a browser saves rather than shows.
const UNKNOWN: &str = "application/octet-stream";

/// The longest extension in [`TYPES`], and of an operator.
const EXTENSION_MAX: usize = 11;
const OWN_MAX: usize = 32;

/// The parameter that the table gives to text.
const UTF_8: &str = "; charset=utf-8";

/// The content type of the file called `name`, a path or a bare name: by the letters after the last dot of its last
/// segment, in either case. Text is declared to be UTF-8.
pub fn content_type(name: &[u8]) -> &'static str {
    extension(name).and_then(in_table).unwrap_or(UNKNOWN)
}

/// What stands after the last dot of the last segment, if that dot is not its first letter.
pub(super) fn extension(name: &[u8]) -> Option<&[u8]> {
    let file = name.rsplit(|&b| b == b'/').next()?;
    let dot = file.iter().rposition(|&b| b == b'.').filter(|&dot| dot > 0)?;
    file.get(dot + 1..)
}

fn in_table(extension: &[u8]) -> Option<&'static str> {
    let mut lower = [0; EXTENSION_MAX];
    let lower = lower.get_mut(..extension.len())?;
    lower.copy_from_slice(extension);
    lower.make_ascii_lowercase();
    let found = TYPES.binary_search_by(|(extension, _)| extension.as_bytes().cmp(lower));
    found.ok().and_then(|at| TYPES.get(at)).map(|&(_, kind)| kind)
}

/// The table with an operator's own types, and the charset that text is said to be in.
#[derive(Debug, Clone)]
pub(super) struct Types {
    own: BTreeMap<Box<[u8]>, Box<str>>,
    charset: Option<Box<str>>,
}

impl Default for Types {
    fn default() -> Self {
        Self { own: BTreeMap::new(), charset: Some("utf-8".into()) }
    }
}

impl Types {
    /// Files that end in `.extension` are of `kind`; false when the one is no extension or the other no type.
    pub(super) fn add(&mut self, extension: &str, kind: &str) -> bool {
        let extension = extension.strip_prefix('.').unwrap_or(extension).to_ascii_lowercase().into_bytes();
        let is_extension =
            (1..=OWN_MAX).contains(&extension.len()) && !extension.iter().any(|b| b"/.\0".contains(b));
        let is_ok = is_extension && is_media_type(kind);
        if is_ok {
            self.own.insert(extension.into(), kind.into());
        }
        is_ok
    }

    /// What text is said to be in, `None` for nothing; false when it is no name of a charset.
    pub(super) fn set_charset(&mut self, charset: Option<&str>) -> bool {
        let is_ok =
            charset.is_none_or(|name| !name.is_empty() && name.bytes().all(super::encoding::is_tchar));
        if is_ok {
            self.charset = charset.map(Into::into);
        }
        is_ok
    }

    /// The content type of the file called `name`.
    pub(super) fn content_type(&self, name: &[u8]) -> Cow<'static, str> {
        if let Some(own) = self.own_type(name) {
            return Cow::Owned(self.with_charset(own));
        }
        let known = content_type(name);
        match known.strip_suffix(UTF_8) {
            Some(bare) if self.charset.as_deref() != Some("utf-8") => Cow::Owned(self.with_charset(bare)),
            _ => Cow::Borrowed(known),
        }
    }

    fn own_type(&self, name: &[u8]) -> Option<&str> {
        if self.own.is_empty() {
            return None;
        }
        let lower = extension(name)?.to_ascii_lowercase();
        self.own.get(&lower[..]).map(|kind| &**kind)
    }

    /// `kind`, with the charset if it is text and names none itself.
    fn with_charset(&self, kind: &str) -> String {
        let lower = kind.to_ascii_lowercase();
        match &self.charset {
            Some(charset) if lower.starts_with("text/") && !lower.contains("charset=") => {
                format!("{kind}; charset={charset}")
            }
            _ => kind.to_owned(),
        }
    }
}

/// `type/subtype`, with parameters behind a `;` which are taken as they are, if they are visible.
fn is_media_type(kind: &str) -> bool {
    let (essence, parameters) = kind.split_once(';').unwrap_or((kind, ""));
    let is_token = |part: &str| !part.is_empty() && part.bytes().all(super::encoding::is_tchar);
    let is_type = essence.trim_end().split_once('/').is_some_and(|(t, sub)| is_token(t) && is_token(sub));
    is_type && parameters.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
}

fn essence(kind: &str) -> String {
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether files of this type usually shrink to a half or less.
pub(super) fn is_compressible(kind: &str) -> bool {
    let kind = essence(kind);
    kind.starts_with("text/")
        || ["+json", "+xml", "+text", "+yaml"].iter().any(|suffix| kind.ends_with(suffix))
        || COMPRESSIBLE.contains(&&*kind)
}

/// Whether files of this type are compressed within, so that a coding around them saves nothing.
pub(super) fn is_packed(kind: &str) -> bool {
    let kind = essence(kind);
    let is_media = ["image/", "video/", "audio/"].iter().any(|family| kind.starts_with(family));
    is_media && !is_compressible(&kind) || PACKED.contains(&&*kind)
}

/// Beside text and what ends in `+json` or `+xml`.
const COMPRESSIBLE: &[&str] = &[
    "application/javascript",
    "application/json",
    "application/json5",
    "application/jsonl",
    "application/postscript",
    "application/rtf",
    "application/toml",
    "application/vnd.apple.mpegurl",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/x-javascript",
    "application/x-ndjson",
    "application/x-pem-file",
    "application/xml",
    "application/yaml",
    "font/collection",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/x-icon",
    "model/obj",
    "model/stl",
];

/// Beside images, sound and film.
const PACKED: &[&str] = &[
    "application/epub+zip",
    "application/gzip",
    "application/java-archive",
    "application/vnd.android.package-archive",
    "application/vnd.debian.binary-package",
    "application/vnd.google-earth.kmz",
    "application/vnd.rar",
    "application/x-7z-compressed",
    "application/x-bzip2",
    "application/x-xpinstall",
    "application/x-xz",
    "application/zip",
    "application/zstd",
    "font/woff",
    "font/woff2",
];

/// Sorted by extension.
#[rustfmt::skip]
const TYPES: &[(&str, &str)] = &[
    ("3gp", "video/3gpp"),
    ("7z", "application/x-7z-compressed"),
    ("aac", "audio/aac"),
    ("apk", "application/vnd.android.package-archive"),
    ("apng", "image/apng"),
    ("appcache", "text/cache-manifest; charset=utf-8"),
    ("asc", "text/plain; charset=utf-8"),
    ("atom", "application/atom+xml"),
    ("avi", "video/x-msvideo"),
    ("avif", "image/avif"),
    ("bib", "text/plain; charset=utf-8"),
    ("bmp", "image/bmp"),
    ("bz2", "application/x-bzip2"),
    ("c", "text/plain; charset=utf-8"),
    ("cc", "text/plain; charset=utf-8"),
    ("cfg", "text/plain; charset=utf-8"),
    ("cjs", "text/javascript; charset=utf-8"),
    ("conf", "text/plain; charset=utf-8"),
    ("cpp", "text/plain; charset=utf-8"),
    ("crt", "application/x-x509-ca-cert"),
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("cue", "text/plain; charset=utf-8"),
    ("cur", "image/x-icon"),
    ("dart", "text/plain; charset=utf-8"),
    ("deb", "application/vnd.debian.binary-package"),
    ("diff", "text/plain; charset=utf-8"),
    ("dmg", "application/x-apple-diskimage"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("eot", "application/vnd.ms-fontobject"),
    ("eps", "application/postscript"),
    ("epub", "application/epub+zip"),
    ("exe", "application/vnd.microsoft.portable-executable"),
    ("flac", "audio/flac"),
    ("flv", "video/x-flv"),
    ("geojson", "application/geo+json"),
    ("gif", "image/gif"),
    ("glb", "model/gltf-binary"),
    ("gltf", "model/gltf+json"),
    ("go", "text/plain; charset=utf-8"),
    ("gpx", "application/gpx+xml"),
    ("gz", "application/gzip"),
    ("h", "text/plain; charset=utf-8"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
    ("hpp", "text/plain; charset=utf-8"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/x-icon"),
    ("ics", "text/calendar; charset=utf-8"),
    ("ini", "text/plain; charset=utf-8"),
    ("iso", "application/x-iso9660-image"),
    ("jar", "application/java-archive"),
    ("java", "text/plain; charset=utf-8"),
    ("jfif", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("json5", "application/json5"),
    ("jsonl", "application/jsonl"),
    ("jsonld", "application/ld+json"),
    ("jxl", "image/jxl"),
    ("kml", "application/vnd.google-earth.kml+xml"),
    ("kmz", "application/vnd.google-earth.kmz"),
    ("log", "text/plain; charset=utf-8"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("m4a", "audio/mp4"),
    ("m4s", "video/iso.segment"),
    ("m4v", "video/x-m4v"),
    ("map", "application/json"),
    ("markdown", "text/markdown; charset=utf-8"),
    ("md", "text/markdown; charset=utf-8"),
    ("mid", "audio/midi"),
    ("midi", "audio/midi"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("mkv", "video/x-matroska"),
    ("mml", "application/mathml+xml"),
    ("mov", "video/quicktime"),
    ("mp2", "audio/mpeg"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("mpd", "application/dash+xml"),
    ("mpeg", "video/mpeg"),
    ("mpg", "video/mpeg"),
    ("msi", "application/x-msi"),
    ("obj", "model/obj"),
    ("odp", "application/vnd.oasis.opendocument.presentation"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("oga", "audio/ogg"),
    ("ogg", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("ogx", "application/ogg"),
    ("opus", "audio/ogg"),
    ("otf", "font/otf"),
    ("patch", "text/plain; charset=utf-8"),
    ("pbf", "application/x-protobuf"),
    ("pdf", "application/pdf"),
    ("pem", "application/x-pem-file"),
    ("png", "image/png"),
    ("ppt", "application/vnd.ms-powerpoint"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("ps", "application/postscript"),
    ("py", "text/plain; charset=utf-8"),
    ("rar", "application/vnd.rar"),
    ("rpm", "application/x-rpm"),
    ("rs", "text/plain; charset=utf-8"),
    ("rss", "application/rss+xml"),
    ("rtf", "application/rtf"),
    ("sh", "text/plain; charset=utf-8"),
    ("sql", "text/plain; charset=utf-8"),
    ("srt", "text/plain; charset=utf-8"),
    ("stl", "model/stl"),
    ("svg", "image/svg+xml"),
    ("swf", "application/x-shockwave-flash"),
    ("tar", "application/x-tar"),
    ("tcl", "text/plain; charset=utf-8"),
    ("tex", "text/plain; charset=utf-8"),
    ("text", "text/plain; charset=utf-8"),
    ("tgz", "application/gzip"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("toml", "application/toml"),
    ("torrent", "application/x-bittorrent"),
    ("ts", "video/mp2t"),
    ("tsv", "text/tab-separated-values; charset=utf-8"),
    ("ttc", "font/collection"),
    ("ttf", "font/ttf"),
    ("txt", "text/plain; charset=utf-8"),
    ("vcf", "text/vcard; charset=utf-8"),
    ("vtt", "text/vtt; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("wav", "audio/wav"),
    ("weba", "audio/webm"),
    ("webm", "video/webm"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("wmv", "video/x-ms-wmv"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xht", "application/xhtml+xml"),
    ("xhtml", "application/xhtml+xml"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("xml", "application/xml"),
    ("xpi", "application/x-xpinstall"),
    ("xsl", "application/xslt+xml"),
    ("xslt", "application/xslt+xml"),
    ("xz", "application/x-xz"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("zip", "application/zip"),
    ("zst", "application/zstd"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_lower_case_and_within_its_bound() {
        assert!(TYPES.is_sorted_by(|a, b| a.0 < b.0));
        assert!(TYPES.len() >= 120);
        for (extension, kind) in TYPES {
            assert!(extension.len() <= EXTENSION_MAX && *extension == extension.to_ascii_lowercase());
            assert_eq!(kind.starts_with("text/"), kind.ends_with("; charset=utf-8"), "{extension}");
            assert!(kind.is_ascii() && kind.contains('/'));
        }
        assert!(TYPES.iter().any(|(extension, _)| extension.len() == EXTENSION_MAX));
    }

    #[test]
    fn the_last_extension_decides_in_either_case() {
        let table: &[(&[u8], &str)] = &[
            (b"index.html", "text/html; charset=utf-8"),
            (b"a/b.c/INDEX.HtM", "text/html; charset=utf-8"),
            (b"app.js", "text/javascript; charset=utf-8"),
            (b"x.json", "application/json"),
            (b"x.svg", "image/svg+xml"),
            (b"x.wasm", "application/wasm"),
            (b"x.tar.gz", "application/gzip"),
            (b"x.webmanifest", "application/manifest+json"),
        ];
        for (name, want) in table {
            assert_eq!(content_type(name), *want, "{}", name.escape_ascii());
        }
        for name in [
            &b""[..],
            b"README",
            b"a.html/README",
            b".html",
            b"a.",
            b"a.\xff",
            b"a.unknownextension",
            b"a.html ",
        ] {
            assert_eq!(content_type(name), UNKNOWN, "{}", name.escape_ascii());
        }
    }

    #[test]
    fn an_operators_types_come_first_and_text_gets_the_charset() {
        let mut types = Types::default();
        assert!(types.add("md", "text/html") && types.add(".JS", "text/plain; charset=ascii"));
        assert!(types.add("bin", "application/x-own;v=1"));
        let of = |types: &Types, name: &str| types.content_type(name.as_bytes()).into_owned();
        assert_eq!(of(&types, "a/b.MD"), "text/html; charset=utf-8");
        assert_eq!(of(&types, "a.js"), "text/plain; charset=ascii");
        assert_eq!(of(&types, "a.bin"), "application/x-own;v=1");
        assert_eq!(of(&types, "a.css"), "text/css; charset=utf-8");
        assert!(types.set_charset(Some("iso-8859-1")));
        assert_eq!(of(&types, "a.css"), "text/css; charset=iso-8859-1");
        assert_eq!(of(&types, "a.md"), "text/html; charset=iso-8859-1");
        assert_eq!(of(&types, "a.json"), "application/json");
        assert!(types.set_charset(None));
        assert_eq!(
            (of(&types, "a.css"), of(&types, "a.md")),
            ("text/css".to_owned(), "text/html".to_owned())
        );
        assert_eq!(of(&types, "md"), UNKNOWN);
    }

    #[test]
    fn what_is_no_extension_no_type_or_no_charset_is_refused() {
        let long = "x".repeat(OWN_MAX + 1);
        for extension in ["", ".", "a.b", "a/b", "a\0", &long] {
            assert!(!Types::default().add(extension, "text/plain"), "{extension:?}");
        }
        for kind in [
            "",
            "text",
            "text/",
            "/x",
            "a b/c",
            "text/plain\r\nX: y",
            "text/plain; a\n",
            "a/b/c",
            "text/\u{e4}",
        ] {
            assert!(!Types::default().add("x", kind), "{kind:?}");
        }
        for charset in ["", "utf 8", "utf-8\r\n", "\"x\""] {
            assert!(!Types::default().set_charset(Some(charset)), "{charset:?}");
        }
        assert!(Types::default().add(&long[1..], "text/plain"));
    }

    #[test]
    fn a_type_is_worth_compressing_or_packed_but_never_both() {
        for (_, kind) in TYPES {
            assert!(!(is_compressible(kind) && is_packed(kind)), "{kind}");
        }
        for name in
            ["a.html", "a.js", "a.json", "a.svg", "a.wasm", "a.ttf", "a.webmanifest", "a.xml", "a.geojson"]
        {
            assert!(is_compressible(content_type(name.as_bytes())), "{name}");
        }
        for name in ["a.png", "a.woff2", "a.zip", "a.mp4", "a.gz", "a.zst"] {
            assert!(is_packed(content_type(name.as_bytes())), "{name}");
        }
        for name in ["a.pdf", "a", "a.tar"] {
            let kind = content_type(name.as_bytes());
            assert!(!is_packed(kind) && !is_compressible(kind), "{name}");
        }
    }
}
