"""The bytes of a download that have come so far, and which version of the file they are of."""

from pathlib import Path


class PartFile:
    """The file `path`, which outlives a kill, and beside it `<path>.etag`, the version's ETag."""

    def __init__(self, path: Path) -> None:
        self.path, self.etag = path, path.with_name(f"{path.name}.etag")

    def size(self) -> int:
        """Bytes; 0 where there is no file."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def version(self) -> str:
        """The ETag of the version that the bytes belong to; "" where no strong one names it (RFC 9110, 13.1.5)."""
        if not self.etag.is_file():
            return ""
        etag = self.etag.read_text(encoding="utf-8", errors="replace")
        return etag if etag.startswith('"') and etag.isascii() and etag.isprintable() else ""

    def begin(self, etag: str) -> None:
        """Anew, with the bytes of a version. First the old bytes go: a kill in between must not pair them with it."""
        self.path.write_bytes(b"")
        self.etag.write_text(etag, encoding="utf-8")

    def discard(self) -> None:
        """Both files."""
        self.path.unlink(missing_ok=True)
        self.etag.unlink(missing_ok=True)

    def become(self, target: Path) -> None:
        """The whole file at `target`."""
        self.etag.unlink(missing_ok=True)
        self.path.replace(target)
