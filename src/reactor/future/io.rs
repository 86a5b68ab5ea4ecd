//! The traits of `futures-io` for streams, and moving bytes from one stream to another.

use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};

use super::error::outside;
use super::local;
use super::stream::{End, ReadHalf, Stream, WriteHalf};
use crate::reactor::buffer::Buf;

macro_rules! readers {
    ($($name:ident)*) => { $(
        impl AsyncRead for $name {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                into: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                self.end.poll_read(cx, into)
            }
        }

        impl AsyncBufRead for $name {
            fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
                let end = &mut self.get_mut().end;
                match end.poll_fill(cx) {
                    Poll::Ready(Ok(())) => Poll::Ready(Ok(end.lent.bytes())),
                    Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
                    Poll::Pending => Poll::Pending,
                }
            }

            fn consume(mut self: Pin<&mut Self>, n: usize) {
                self.end.consume(n);
            }
        }
    )* };
}
readers!(Stream ReadHalf);

macro_rules! writers {
    ($($name:ident)*) => { $(
        impl AsyncWrite for $name {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                from: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.end.poll_write(cx, from)
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.end.poll_flush(cx)
            }

            /// Finishes the writing side; reading goes on.
            fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.end.poll_finish(cx)
            }
        }
    )* };
}
writers!(Stream WriteHalf);

/// Moves all that comes from `from` to `to`, until `from` ends; how many bytes that were. Where a whole block can change
/// hands nothing is copied. `to` is not finished: what it was given may still be on its way to the kernel.
///
/// ```no_run
/// # use tidemill::reactor::future::{Stream, copy};
/// async fn echo(stream: Stream) -> std::io::Result<u64> {
///     let (mut read, mut write) = stream.split();
///     copy(&mut read, &mut write).await
/// }
/// ```
///
/// # Errors
/// Those of reading and writing. What was read and could not be written is still there to be read.
pub async fn copy(from: &mut ReadHalf, to: &mut WriteHalf) -> io::Result<u64> {
    let mut total = 0;
    poll_fn(|cx| {
        loop {
            match poll_move(&mut from.end, &to.end, cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(total)),
                Poll::Ready(Ok(n)) => total += n as u64,
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}

/// Moves what has come; 0 at its end.
fn poll_move(from: &mut End, to: &End, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    let (tag, index, sink) = (from.tag, from.index, to.index);
    if tag != to.tag {
        return Poll::Ready(Err(outside()));
    }
    let mut lent = mem::take(&mut from.lent);
    let moved = local::with(tag, |core| {
        if lent.is_empty() {
            match core.poll_received(index, cx) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => return Poll::Ready(Ok(0)),
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => return Poll::Pending,
            }
        }
        let slot = match core.poll_room(sink, 1, cx) {
            Poll::Ready(Ok(slot)) => slot,
            Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
            Poll::Pending => return Poll::Pending,
        };
        let mut received = match core.futures.streams.get_mut(index as usize) {
            Some(stream) if lent.is_empty() => mem::take(&mut stream.rx),
            _ => mem::take(&mut lent),
        };
        let (io, pool) = core.io(slot);
        let n = transfer(&mut received, &mut io.tx);
        received.settle(pool);
        // What did not fit stays where it is lent from.
        lent = received;
        Poll::Ready(Ok(n))
    });
    from.lent = lent;
    moved.unwrap_or_else(|| Poll::Ready(Err(outside())))
}

fn transfer(from: &mut Buf, to: &mut Buf) -> usize {
    let n = from.len();
    if to.is_empty() {
        mem::swap(from, to);
        return n;
    }
    let n = to.push(from.bytes());
    from.consume(n);
    n
}
