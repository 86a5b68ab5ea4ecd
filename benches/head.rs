//! The request head parser: the floor's hello request and a browser's head, against plain httparse.

use std::hint::black_box;
use std::mem::MaybeUninit;

use divan::Bencher;
use tidemill::proto::http1::encode::{DateCache, HeadWriter, Persist, Template};
use tidemill::proto::http1::head::{FieldStore, Limits, Progress, Status, parse};

const HELLO: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

const BROWSER: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9,de;q=0.8\r\nCache-Control: max-age=0\r\n\
    Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\nUpgrade-Insecure-Requests: 1\r\n\
    Referer: http://127.0.0.1/index.html\r\nCookie: session=8f14e45fceea167a5a36dedd4bea2543; theme=dark\r\n\r\n";

fn main() {
    divan::main();
}

fn request(name: &str) -> &'static [u8] {
    if name == "hello" { HELLO } else { BROWSER }
}

#[divan::bench(args = ["hello", "browser"])]
fn tidemill_parse(bencher: Bencher<'_, '_>, name: &str) {
    let request = request(name);
    let limits = Limits::default();
    bencher.bench_local(|| {
        let mut store = FieldStore::new();
        let parsed = parse(black_box(request), &limits, &mut Progress::default(), &mut store);
        let Ok(Status::Complete(head)) = parsed else { unreachable!() };
        black_box(&head);
        head.consumed
    });
}

#[divan::bench(args = ["hello", "browser"])]
fn plain_httparse(bencher: Bencher<'_, '_>, name: &str) {
    let request = request(name);
    bencher.bench_local(|| {
        let mut store = [const { MaybeUninit::uninit() }; 100];
        let mut parsed = httparse::Request::new(&mut []);
        let status = parsed.parse_with_uninit_headers(black_box(request), &mut store);
        black_box(&parsed);
        status
    });
}

#[divan::bench]
fn browser_byte_by_byte(bencher: Bencher<'_, '_>) {
    let limits = Limits::default();
    bencher.bench_local(|| {
        let mut progress = Progress::default();
        (1..=BROWSER.len()).all(|end| {
            let mut store = FieldStore::new();
            let window = BROWSER.get(..end).unwrap_or(BROWSER);
            parse(black_box(window), &limits, &mut progress, &mut store).is_ok()
        })
    });
}

#[divan::bench]
fn response_head(bencher: Bencher<'_, '_>) {
    let date = DateCache::new(784_111_777);
    let mut buf = [0; 512];
    bencher.bench_local(|| {
        let mut head = HeadWriter::new(&mut buf, black_box(200), &date);
        head.field("Content-Type", b"text/plain").content_length(black_box(13)).persist(Persist::Default);
        let len = head.finish();
        black_box(&buf);
        len
    });
}

#[divan::bench]
fn response_template(bencher: Bencher<'_, '_>) {
    let mut date = DateCache::new(784_111_777);
    let made = Template::new(200, &[("Content-Type", b"text/plain")], Persist::Default, b"Hello, World!");
    let Ok(mut template) = made else { unreachable!() };
    let mut out = [0; 512];
    bencher.bench_local(|| {
        date.set(black_box(784_111_778));
        let bytes = template.bytes(&date);
        if let Some(room) = out.get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
        }
        black_box(&out);
    });
}
