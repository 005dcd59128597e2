"""Attempts of task code in Python to get out of its box. Called with the name of
one and the bait; prints what it caught, or why it caught nothing."""

import ctypes
import json
import mmap
import os
import shutil
import socket
import subprocess
import sys
import urllib.request


FOLDERS = dict(zip(("/workspace", "/data", "/scratch"), sys.argv[3:]))


def at(path):
    for folder, place in FOLDERS.items():
        if path == folder or path.startswith(folder + "/"):
            return place + path[len(folder) :]
    return path


def read(path):
    with open(path, "rb") as f:
        return repr(f.read(64))


def write(path):
    with open(path, "ab") as f:
        f.write(b"owned")
    return "wrote " + path


def secret_in(text, bait):
    if bait["Secret"] in text:
        return "the secret"
    raise LookupError("not there")


def environments(bait):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        try:
            with open("/proc/%s/environ" % pid, "rb") as f:
                if bait["Secret"].encode() in f.read():
                    return pid
        except OSError:
            pass
    raise LookupError("not there")


def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(2)
        s.connect(address)
    return "connected"


def host_port(bait):
    host, port = bait["TCP"].rsplit(":", 1)
    return host, int(port)


def any_socket(_):
    problem = None
    for family in range(46):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
            try:
                socket.socket(family, kind)
                return "family %d" % family
            except OSError as e:
                problem = e
    raise problem


def libc(name, *args):
    lib = ctypes.CDLL(None, use_errno=True)
    if getattr(lib, name)(*args) == -1:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e))
    return name


def zip_slip(bait):
    shutil.rmtree(at("/scratch/x"), ignore_errors=True)
    os.makedirs(at("/scratch/x"))
    os.symlink("/", at("/scratch/x/root"))
    return write(at("/scratch/x/root") + bait["Key"])


def pickle_bomb(bait):
    import pickle

    class Bomb:
        def __reduce__(self):
            return (read, (bait["Key"],))

    return pickle.loads(pickle.dumps(Bomb()))


def descriptors(_):
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink("/proc/self/fd/" + fd)
        except OSError:
            continue
        if int(fd) > 2 and not target.startswith("/proc/"):
            return "%s is %s" % (fd, target)
    raise LookupError("only standard input, output and error")


ATTEMPTS = {
    "read a private key by its path": lambda b: read(b["Key"]),
    "read the host's password hashes": lambda b: read("/etc/shadow"),
    "find out that the key exists": lambda b: str(os.stat(b["Key"])),
    "list home folders": lambda b: str(os.listdir("/root")),
    "see a secret in the environment": lambda b: secret_in("\n".join(os.environ.values()), b),
    "read the environment of fxrun in /proc": environments,
    "read the memory of the box's first process": lambda b: read("/proc/1/mem"),
    "look through /proc/1/root": lambda b: read("/proc/1/root" + b["Key"]),
    "find a descriptor that was left open": descriptors,
    "write to the approved code": lambda b: write(at("/workspace/src/code.py")),
    "add a file to the code": lambda b: write(at("/workspace/src/more.py")),
    "write to the site's data": lambda b: write(at("/data/rows.csv")),
    "write to the host's programs": lambda b: write("/usr/lib/python3/dist-packages/owned.py"),
    "reach the key through a symbolic link in scratch": zip_slip,
    "reach the key from a pickle": pickle_bomb,
    "open a disk or the machine's memory": lambda b: read("/dev/mem"),
    "mount something": lambda b: libc("mount", b"none", at("/scratch").encode(), b"tmpfs", 0, None),
    "change the root": lambda b: str(os.chroot(at("/scratch"))),
    "make a user namespace": lambda b: libc("unshare", 0x10000000),
    "trace another process": lambda b: libc("ptrace", 16, 1, None, None),
    "end a process of the host": lambda b: str(os.kill(b["PID"], 9)),
    "connect to the host over TCP": lambda b: connect(socket.AF_INET, host_port(b)),
    "connect to a Unix socket by its path": lambda b: connect(socket.AF_UNIX, b["Unix"]),
    "connect to an abstract Unix socket": lambda b: connect(socket.AF_UNIX, "\0" + b["Abstract"][1:]),
    "look up a name": lambda b: str(socket.getaddrinfo("example.com", 443)),
    "fetch a page": lambda b: str(urllib.request.urlopen("http://" + b["TCP"], timeout=2)),
    "open a socket of any of the 46 families": any_socket,
    "become root": lambda b: str(os.setresuid(0, 0, 0)) if os.getuid() else "is root",
    "gain by a set-user-id program": lambda b: secret_in(subprocess.run(["/usr/bin/su", "-c", "cat " + b["Key"]], capture_output=True, text=True).stdout, b),
    "use the kernel's keyrings": lambda b: libc("syscall", 250, 0, -3, 1),
    "read shared memory of the host": lambda b: str(mmap.mmap(os.open("/dev/shm/" + os.path.basename(b["Unix"]), os.O_RDONLY), 16)),
}

if __name__ == "__main__":
    try:
        print("CAUGHT", ATTEMPTS[sys.argv[1]](json.loads(sys.argv[2])))
    except BaseException as e:
        print("NOTHING", e.strerror if isinstance(e, OSError) and e.strerror else e)
