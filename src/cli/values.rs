//! Values of flags: text in, a value or a sentence about what is wrong with it out.

use std::time::Duration;

use tidemill::proto::http1::encode::EncodeError;
use tidemill::reactor::Endpoint;
use tidemill::service::respond::Respond;

/// The longest time that a flag takes: the reactor's timers reach no further.
const LONGEST: Duration = Duration::from_secs(288 * 3600);

/// A deadline that can be switched off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct OrOff(pub(super) Option<Duration>);

/// A header field of `respond`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) value: String,
}

/// A time such as `500ms`, `30s`, `1.5s`, `2m`, `1h`, or `0`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    const WANT: &str = "write a number with its unit, such as 500ms, 30s, 2m or 1h";
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit_ms: u32 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "" => return Err(format!("its unit is missing; {WANT}")),
        _ => return Err(WANT.to_owned()),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || part.is_empty() || part.contains('.') {
        return Err(WANT.to_owned());
    }
    let number: f64 = number.parse().map_err(|_| WANT.to_owned())?;
    let time = Duration::try_from_secs_f64(number * f64::from(unit_ms) / 1000.0).unwrap_or(Duration::MAX);
    if time > LONGEST {
        return Err("the longest time is 288h".to_owned());
    }
    Ok(time)
}

/// A deadline that cannot be zero.
pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        time if time < Duration::from_millis(1) => Err("it must be at least 1ms".to_owned()),
        time => Ok(time),
    }
}

/// A deadline, or `off`.
pub(super) fn timeout_or_off(text: &str) -> Result<OrOff, String> {
    if text == "off" {
        return Ok(OrOff(None));
    }
    match timeout(text) {
        Ok(time) => Ok(OrOff(Some(time))),
        Err(problem) => Err(format!("{problem}, or off")),
    }
}

/// An endpoint. The error leaves out the text itself, which clap quotes.
pub(super) fn endpoint(text: &str) -> Result<Endpoint, String> {
    text.parse::<Endpoint>().map_err(|e| {
        let problem = e.to_string();
        let prefix = format!("bad endpoint '{text}': ");
        problem.strip_prefix(&prefix).map(str::to_owned).unwrap_or(problem)
    })
}

/// A header field as `Name: value`, judged as the service will judge it.
pub(super) fn field(text: &str) -> Result<Field, String> {
    let (name, value) = text.split_once(':').ok_or("write 'Name: value', with a colon")?;
    let value = value.trim_matches([' ', '\t']);
    let judged = Respond::new(200, &[(name, value.as_bytes())], b"");
    match judged {
        Ok(_) => Ok(Field { name: name.to_owned(), value: value.to_owned() }),
        Err(EncodeError::Reserved) => Err(format!(
            "{name} tells where an answer ends or what becomes of the connection: the server writes it itself"
        )),
        Err(EncodeError::BadName) => Err(format!(
            "'{}' is no field name: letters, digits and !#$%&'*+-.^_`|~ only",
            name.escape_debug()
        )),
        Err(EncodeError::BadValue) => {
            Err("a value holds no line break or other control character".to_owned())
        }
        Err(e) => Err(e.to_string()),
    }
}
