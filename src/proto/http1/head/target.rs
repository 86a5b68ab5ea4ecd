//! The request target (RFC 9112 section 3.2): which of the four forms it has, and its parts.
//! It never decodes, normalises or maps a path; that is done once, by whoever opens it.

use memchr::{memchr, memchr2};

use super::{Form, Method, host};

/// The parts of a request target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) form: Form,
    pub(super) path: &'a [u8],
    pub(super) query: Option<&'a [u8]>,
    pub(super) authority: Option<&'a [u8]>,
}

/// Splits `target`; `None` if a byte is not visible ASCII or a fragment mark, or if the form does not suit the method.
#[inline]
pub(super) fn split<'a>(method: &Method<'_>, target: &'a [u8]) -> Option<Target<'a>> {
    if !visible(target) {
        return None;
    }
    if matches!(method, Method::Connect) {
        return authority_form(target);
    }
    match target {
        [b'/', ..] => {
            let (path, query) = path_and_query(target)?;
            Some(Target { form: Form::Origin, path, query, authority: None })
        }
        b"*" if matches!(method, Method::Options) => {
            Some(Target { form: Form::Asterisk, path: target, query: None, authority: None })
        }
        _ => absolute_form(target),
    }
}

/// Whether every byte is in `0x21..=0x7e`. Branch-free, so that it vectorises.
#[inline]
fn visible(target: &[u8]) -> bool {
    target.iter().fold(true, |good, &byte| good & (byte.wrapping_sub(0x21) < 0x5e))
}

#[inline]
fn path_and_query(target: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let Some(at) = memchr2(b'?', b'#', target) else { return Some((target, None)) };
    let (path, rest) = target.split_at_checked(at)?;
    match rest {
        [b'?', query @ ..] if memchr(b'#', query).is_none() => Some((path, Some(query))),
        _ => None,
    }
}

fn authority_form(target: &[u8]) -> Option<Target<'_>> {
    let authority = host::parse(target)?;
    // RFC 9110 section 9.3.6: there is no default port.
    if authority.empty || authority.port.unwrap_or(0) == 0 {
        return None;
    }
    Some(Target { form: Form::Authority, path: b"", query: None, authority: Some(target) })
}

fn absolute_form(target: &[u8]) -> Option<Target<'_>> {
    let colon = memchr(b':', target)?;
    let (scheme, rest) = target.split_at_checked(colon)?;
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return None;
    }
    let rest = rest.strip_prefix(b"://")?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at_checked(end)?;
    if host::parse(authority)?.empty {
        return None;
    }
    let (path, query) = path_and_query(rest)?;
    let path = if path.is_empty() { b"/" } else { path };
    Some(Target { form: Form::Absolute, path, query, authority: Some(authority) })
}
