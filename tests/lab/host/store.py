# SPDX-License-Identifier: GPL-2.0
"""The cache: directories named by a hash of all that went into them. Entries are built once under a
lock, appear by an atomic rename, and are held by a shared lock while in use, so that any number of
runs can use and build them at once. What hasn't been used for long is removed."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import time

SOURCE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
TOP = os.path.dirname(os.path.dirname(SOURCE))

KEEP_DAYS = 14
KEEP_ENTRIES = 24
LONG_TO_BUILD = "kernel-"  # kept, however many others there are


def directory():
    return os.environ.get("LAB_CACHE") or os.path.join(TOP, "build", "lab")


def key(*parts):
    """A name for what was made from these: strings, numbers, or ("file", path) for its content."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, tuple):
            with open(part[1], "rb") as f:
                content = f.read()
        else:
            content = str(part).encode()
        digest.update(b"%d:" % len(content) + content)
    return digest.hexdigest()[:16]


def source(*names):
    """The parts of a key that are files of the lab's own."""
    return [("file", os.path.join(SOURCE, name)) for name in names]


@contextlib.contextmanager
def _locked(path, how):
    with open(path, "a", encoding="utf-8") as lock:
        fcntl.flock(lock, how)
        yield


@contextlib.contextmanager
def entry(kind, entry_key, build, fresh=False):
    """The path of an entry, valid in the with-block. `build(directory)` makes one that is missing."""
    cache = directory()
    os.makedirs(cache, exist_ok=True)
    path = os.path.join(cache, f"{kind}-{entry_key}")
    lock = path + ".lock"
    while True:
        if fresh or not os.path.isdir(path):
            with _locked(lock, fcntl.LOCK_EX):
                if fresh:
                    shutil.rmtree(path, ignore_errors=True)
                if not os.path.isdir(path):
                    _build(cache, path, build)
            fresh = False
            _prune(cache)
        with _locked(lock, fcntl.LOCK_SH):
            if os.path.isdir(path):  # else another run's --fresh came in between
                os.utime(path)
                yield path
                return


def _build(cache, path, build):
    temporary = tempfile.mkdtemp(prefix="building-", dir=cache)
    try:
        build(temporary)
        os.chmod(temporary, 0o755)
        os.rename(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _prune(cache):
    """Removes entries that are old or too many, and not in use."""

    def last_use(name):
        try:
            return os.stat(os.path.join(cache, name)).st_mtime
        except OSError:
            return 0

    entries = sorted(
        (n for n in os.listdir(cache) if os.path.isfile(os.path.join(cache, n + ".lock"))),
        key=last_use,
        reverse=True,
    )
    for rank, name in enumerate(entries):
        path = os.path.join(cache, name)
        dear = rank < KEEP_ENTRIES or name.startswith(LONG_TO_BUILD)
        if dear and time.time() - last_use(name) < KEEP_DAYS * 86400:
            continue
        with contextlib.suppress(BlockingIOError), _locked(
            path + ".lock", fcntl.LOCK_EX | fcntl.LOCK_NB
        ):
            shutil.rmtree(path, ignore_errors=True)
