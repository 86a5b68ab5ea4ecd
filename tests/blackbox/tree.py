"""The folder that the file tests serve: everything that can be asked for, beside things that must never be served."""
import os

SECRET = b"the secret outside the root"
LONG_AGO = 1_600_000_000
TEXT = bytes(range(256)) * 40
SIZE = len(TEXT)


def plant(folder):
    """The root, made in `folder`."""
    root = folder / "site"
    (folder / "secret.txt").write_bytes(SECRET)
    (folder / "site-sibling").mkdir()
    (folder / "site-sibling" / "secret.txt").write_bytes(SECRET)
    for name in ("", "dir", "dir/sub", "empty", ".well-known", ".git", "dir/.private", "evil.example", "sp ace"):
        (root / name).mkdir()
    files = {
        "index.html": b"<h1>home</h1>",
        "dir/index.html": b"<h1>dir</h1>",
        "evil.example/index.html": b"<h1>evil</h1>",
        "sp ace/index.html": b"<h1>space</h1>",
        "dir/sub/deep.txt": b"deep",
        "text.txt": TEXT,
        "empty.txt": b"",
        "with space.txt": b"space",
        "gr\u00fc\u00dfe.txt": b"utf-8",
        "per%cent.txt": b"percent",
        "a+b.txt": b"plus",
        "q?.txt": b"question",
        "back\\slash.txt": b"backslash",
        ".hidden": SECRET,
        ".git/config": SECRET,
        "dir/.private/x": SECRET,
        ".well-known/security.txt": b"contact",
        ".well-known/.deeper": SECRET,
    }
    for name, content in files.items():
        (root / name).write_bytes(content)
        os.utime(root / name, (LONG_AGO, LONG_AGO))
    return root
