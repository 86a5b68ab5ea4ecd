//! The oracles of the pure parts that keep their checks themselves: paths, ranges, frames and WebSockets.

use tidemill::proto::frame::checks as frame;
use tidemill::proto::websocket::checks as websocket_checks;
use tidemill::service::files::checks as files;

/// Any bytes as a request path.
pub(crate) fn path(data: &[u8]) {
    files::target_to_path(data);
}

/// A size, then a method, conditions and any bytes as a `Range`, a line each.
pub(crate) fn range(data: &[u8]) {
    files::range_vs_model(data);
}

/// The first byte says how many cuts follow, of one byte each; the rest is framed, and unframed.
pub(crate) fn frames(data: &[u8]) {
    let Some((&count, data)) = data.split_first() else { return };
    let (cuts, stream) = data.split_at(data.len().min(usize::from(count % 16)));
    let cuts: Vec<usize> = cuts.iter().map(|cut| usize::from(*cut)).collect();
    frame::any_cut(stream, &cuts);
    // Every part of every frame is tried: short ones do.
    frame::round_trip(stream.get(..200).unwrap_or(stream));
}

/// The first byte says how many cuts follow, of one byte each; the rest is read as frames, and framed.
pub(crate) fn websocket(data: &[u8]) {
    let Some((&count, data)) = data.split_first() else { return };
    let (cuts, stream) = data.split_at(data.len().min(usize::from(count % 16)));
    let cuts: Vec<usize> = cuts.iter().map(|cut| usize::from(*cut)).collect();
    websocket_checks::any_cut(stream, &cuts);
    websocket_checks::round_trip(stream, &cuts);
}
