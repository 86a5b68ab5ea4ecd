"""Other people's HTTP servers with the smallest configuration that serves a folder, on ports of their own.

They run in the foreground as children of the test, in a private folder, and are ended by their process id.
"""

import contextlib
import re
import shutil
import socket
import subprocess

from harness import Folder, free_port, wait_until

NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log; worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
    access_log off; default_type text/plain; client_max_body_size 1m; reset_timedout_connection on;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port}; root {root}; index index.html; }}
}}
"""
LIGHTTPD = """
server.document-root = "{root}"
server.bind = "127.0.0.1"
server.port = {port}
server.pid-file = "{folder}/pid"
server.errorlog = "{folder}/error.log"
server.max-fds = 8192
server.max-request-size = 1024
index-file.names = ( "index.html" )
"""
APACHE = """
ServerRoot {folder}
ServerName x
PidFile {folder}/pid
ErrorLog {folder}/error.log
LogLevel crit
DefaultRuntimeDir {folder}
Mutex file:{folder} default
Listen 127.0.0.1:{port}
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
User nobody
Group nogroup
DocumentRoot {root}
DirectoryIndex index.html
LimitRequestBody 1048576
<Directory {root}>
    Require all granted
</Directory>
"""
# name: (program, Debian package, configuration, arguments, how to ask for the version)
PEERS = {
    "nginx": ("nginx", "nginx-light", NGINX, ["-p", "{folder}", "-c", "{folder}/conf"], "-v"),
    "lighttpd": ("lighttpd", "lighttpd", LIGHTTPD, ["-D", "-f", "{folder}/conf"], "-v"),
    "Apache": ("apache2", "apache2-bin", APACHE, ["-D", "FOREGROUND", "-f", "{folder}/conf"], "-v"),
}


def missing():
    """Names of the servers that are not installed."""
    return [name for name, (program, *_) in PEERS.items() if not shutil.which(program)]


def version(name):
    """The name with the version that the program tells."""
    program, _, _, _, flag = PEERS[name]
    said = subprocess.run([program, flag], capture_output=True, text=True, check=False, timeout=20)
    number = re.search(r"/([0-9.]+)", said.stdout + said.stderr)
    return f"{name} {number[1]}" if number else name


@contextlib.contextmanager
def running(name, root):
    """The address of a running server of the files in `root`, which every user may enter."""
    program, _, conf, arguments, _ = PEERS[name]
    folder, port = Folder(), free_port()
    # Apache's children write their locks as another user.
    folder.path.chmod(0o777)
    values = {"folder": folder.path, "root": root, "port": port}
    (folder.path / "conf").write_text(conf.format(**values))
    with open(folder.path / "said", "wb") as said:
        process = subprocess.Popen([program, *(a.format(**values) for a in arguments)], stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    try:
        wait_until(f"{name} to listen", lambda: process.poll() is not None or answers(port))
        assert process.poll() is None, f"{name} ended: {(folder.path / 'said').read_text()}"
        yield ("127.0.0.1", port)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        folder.remove()


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
