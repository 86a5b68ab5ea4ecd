//! Framing codecs over caller buffers.
