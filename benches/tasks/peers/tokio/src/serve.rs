//! The servers: echo by streams (what everybody writes) and by readiness (the lowest level that tokio offers), and the
//! one-second job for each control connection.

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::coop::consume_budget;
use tokio::task::{spawn_blocking, yield_now};

use crate::phases::{JOB_S, SLICE_S, job_done, spin};

const BLOCK: usize = 65_536;

async fn listen(port: &str) -> TcpListener {
    TcpListener::bind(format!("127.0.0.1:{port}")).await.expect("to listen")
}

pub async fn echo<F: Future<Output = std::io::Result<()>> + Send + 'static>(
    port: &str,
    serve: impl Fn(TcpStream) -> F,
) {
    let listener = listen(port).await;
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let _ = socket.set_nodelay(true);
        tokio::spawn(serve(socket));
    }
}

/// Reads when the kernel says so and writes at once what came; waits only for what would block. The `try_` calls are
/// not counted against a task's budget: without `consume_budget` a flooding peer starves all others for seconds.
pub async fn by_readiness(socket: TcpStream) -> std::io::Result<()> {
    let mut block = vec![0u8; BLOCK];
    loop {
        consume_budget().await;
        socket.readable().await?;
        let n = match socket.try_read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => continue,
            Err(e) => return Err(e),
        };
        let mut sent = 0;
        while sent < n {
            match socket.try_write(&block[sent..n]) {
                Ok(more) => sent += more,
                Err(e) if e.kind() == ErrorKind::WouldBlock => socket.writable().await?,
                Err(e) => return Err(e),
            }
        }
    }
}

pub async fn by_streams(mut socket: TcpStream) -> std::io::Result<()> {
    let mut block = vec![0u8; BLOCK];
    loop {
        match socket.read(&mut block).await? {
            0 => return Ok(()),
            n => socket.write_all(&block[..n]).await?,
        }
    }
}

/// Runs a job for each connection and tells it when the job is done.
pub async fn control(port: &str, cooperate: bool) {
    let listener = listen(port).await;
    loop {
        let Ok((mut socket, _)) = listener.accept().await else { continue };
        tokio::spawn(async move {
            let (steps, worked) = if cooperate { sliced().await } else { on_a_thread().await };
            let _ = socket.write_all(job_done(steps, worked).as_bytes()).await;
        });
    }
}

async fn sliced() -> (u32, f64) {
    let (mut steps, mut worked) = (0, 0.0);
    while worked < JOB_S {
        worked += spin(SLICE_S);
        steps += 1;
        yield_now().await;
    }
    (steps, worked)
}

async fn on_a_thread() -> (u32, f64) {
    (1, spawn_blocking(|| spin(JOB_S)).await.expect("the job to end"))
}
