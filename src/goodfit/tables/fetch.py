"""The bytes of a path or an address, unpacked."""

from __future__ import annotations

import bz2
import difflib
import gzip
import io
import lzma
import re
import zipfile
import zlib
from pathlib import Path

from goodfit.errors import InputError


def fetch(where: str) -> bytes:
    """The bytes of a path or URL."""
    scheme = re.match(r"([a-zA-Z][a-zA-Z0-9+.-]+)://", where)
    if scheme:
        return _download(where, scheme.group(1).lower())
    path = Path(where).expanduser()
    try:
        if path.is_dir():
            tables = sorted(p.name for p in path.iterdir() if re.search(r"\.(csv|tsv|parquet|xlsx|jsonl|data)", p.name))
            remedy = f"Give one of its files, such as {path / tables[0]}." if tables else "Give a file."
            raise InputError(f"{where} is a directory.", remedy)
        return path.read_bytes()
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"there is no file {where}.", _nearest_file(path)) from None
    except PermissionError:
        raise InputError(f"{where} can't be read: permission denied.", "Change its permissions.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{where} can't be read: {error}.") from None


def _nearest_file(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"There is no folder {folder} either."
    found = sorted(p.name for p in folder.iterdir())
    near = difflib.get_close_matches(path.name, found, n=1, cutoff=0.6)
    if not near:
        by_fold = {Path(name).stem.casefold(): name for name in reversed(found)}
        near = [by_fold[path.stem.casefold()]] if path.stem.casefold() in by_fold else []
    return f"Did you mean {folder / near[0]}?" if near else "Check the path."


def _download(where: str, scheme: str) -> bytes:
    import urllib.error
    import urllib.request

    if scheme in ("http", "https", "ftp", "file"):
        try:
            with urllib.request.urlopen(where, timeout=60) as reply:
                return reply.read()
        except urllib.error.HTTPError as error:
            reason = f"the server answered {error.code} {error.reason}"
            error.close()
        except (urllib.error.URLError, OSError, ValueError) as error:
            reason = str(getattr(error, "reason", error))
        raise InputError(f"{where} can't be fetched: {reason}.", "Check the address, or give a file.")
    try:
        import fsspec  # pyright: ignore[reportMissingImports]

        with fsspec.open(where, "rb") as file:
            return file.read()  # pyright: ignore[reportAttributeAccessIssue]
    except ImportError:
        raise InputError(
            f"{where} can't be fetched: addresses that begin with {scheme}:// need the package fsspec.",
            "Install it, or download the file and give its path.",
        ) from None
    except Exception as error:  # each storage has exceptions of its own
        raise InputError(f"{where} can't be fetched: {error}.", "Check the address, or give a file.") from None


def unpack(content: bytes, where: str) -> tuple[bytes, str]:
    """The content of a packed file, and how it was packed."""
    packings = ((b"\x1f\x8b", "gzip", gzip), (b"BZh", "bzip2", bz2), (b"\xfd7zXZ\x00", "xz", lzma))
    try:
        for magic, name, module in packings:
            if content.startswith(magic):
                return module.decompress(content), name
        if content[:4] == b"PK\x03\x04":
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                members = [name for name in archive.namelist() if not name.endswith("/")]
                if "[Content_Types].xml" not in members and "mimetype" not in members:
                    if len(members) != 1:
                        raise InputError(
                            f"{where} is a zip archive of {len(members)} files.", "Unpack it and give one of them."
                        )
                    return archive.read(members[0]), f"zip, {members[0]}"
    except (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError) as error:
        raise InputError(f"{where} is packed and can't be unpacked: {error}.", "Fetch or pack it anew.") from None
    return content, ""
