//! Static files beneath a root directory.
