"""Files: those that cannot be read, and those whose names say something else than their bytes."""

from collections.abc import Callable
from pathlib import PurePosixPath

from limbeck.checkup.case import Case
from limbeck.checkup.findings import ERROR, NOTE, WARNING, Finding, Place, are, have
from limbeck.datasets.tree import Tree
from limbeck.errors import counted
from limbeck.images.archives import is_archive
from limbeck.images.sources import IMAGES

_EXTENSIONS = {
    "JPEG": (".jpg", ".jpeg"), "MPO": (".jpg", ".jpeg"), "PNG": (".png",), "WEBP": (".webp",), "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"), "GIF": (".gif",),
}  # fmt: skip
_MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n": "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}
_OTHER_IMAGES = (
    ".heic",
    ".heif",
    ".avif",
    ".jxl",
    ".jp2",
    ".jfif",
    ".jpe",
    ".jpg_large",
    ".dng",
    ".cr2",
    ".nef",
    ".psd",
)
_SNIFFED = 500  # files with names that say nothing

_Kind = tuple[str, Callable[[str], bool], str, str, str]
_KINDS: tuple[_Kind, ...] = (
    ("empty-files", lambda reason: reason == "empty file", "{} of zero bytes", "A copy or download that broke off.",
     "copy or download them again, or delete them"),
    ("truncated-files", lambda reason: "cut short" in reason or "truncated" in reason or "ends too soon" in reason,
     "{} cut short", "The end of the file is missing: most loaders fail on it, some fill in grey.",
     "copy or download them again"),
    ("not-images", lambda reason: reason.startswith("not an image"), "{} no image at all, whatever the name says",
     "Loaders fail on them: often a web page saved under an image's name, or a format that is not read.",
     "look at the first with `file NAME`; convert it or delete it"),
    ("oversized-files", lambda reason: reason.startswith(("declares", "over ")) or "more than an image" in reason,
     "{} too large to be decoded safely", "So many pixels fill the memory of a loader.", "reduce them"),
    ("damaged-files", lambda reason: reason.startswith(("damaged", "unpacks", "the archive")), "{} damaged",
     "The bytes are not what the format promises: most loaders fail on them.", "copy or download them again"),
    ("unreachable-files", lambda reason: True, "{} out of reach",
     "They are there, but cannot be opened: rights, links that lead nowhere, odd members of an archive.",
     "give leave to read them (chmod), repair the links, or leave them out"),
)  # fmt: skip


def unreadable(case: Case) -> list[Finding]:
    """Files with an image's name that are none that can be read, by what is wrong with them."""
    found: dict[str, list[Place]] = {}
    for each in case.skipped:
        check = next(kind for kind, fits, *_ in _KINDS if fits(each.reason))
        found.setdefault(check, []).append(Place(each.path, each.reason))
    total = len(case.images) + len(case.skipped)
    findings = []
    for check, _, title, why, cure in _KINDS:
        if places := found.get(check):
            words = title.format(f"{counted(len(places), 'file')} {are(len(places))}")
            findings.append(Finding(check, ERROR, words, places, why, cure, total))
    return findings


def wrong_extensions(case: Case) -> list[Finding]:
    """Bytes of one format under the name of another."""
    places = []
    for row, name in enumerate(case.names):
        actual = case.seen.format[row]
        suffix = PurePosixPath(name).suffix.lower()
        if actual in _EXTENSIONS and suffix in IMAGES and suffix not in _EXTENSIONS[actual]:
            places.append(Place(name, f"{actual} bytes", (row,)))
    if not places:
        return []
    number = len(places)
    return [
        Finding(
            "wrong-extensions",
            WARNING,
            f"{counted(number, 'image')} {have(number)} the extension of another format",
            places,
            "limbeck goes by the bytes; tools that go by the name fail on them, or skip them.",
            f"rename them: {places[0].where} holds {places[0].what.split()[0]}",
            len(case.names),
        )
    ]


def unseen_images(case: Case) -> list[Finding]:
    """Images that no loader looks for, by their names: IMG_1.heic, photo (no extension), photo.jpg.download."""
    places = [place for tree in case.trees for place in _unseen(tree)]
    if not places:
        return []
    number = len(places)
    return [
        Finding(
            "unseen-images",
            WARNING,
            f"{counted(number, 'image')} {are(number)} passed over for {'its' if number == 1 else 'their'} name",
            places,
            f"Only names that end in {' '.join(IMAGES)} are taken for images.",
            "rename them after their format, or convert what is not read (HEIC, AVIF, raw) to JPEG",
            number + len(case.names),
        )
    ]


def unopened_archives(case: Case) -> list[Finding]:
    """Archives that lie in a folder or in another archive."""
    places = [Place(name) for tree in case.trees for name in tree.files if is_archive(name)]
    if not places:
        return []
    number = len(places)
    return [
        Finding(
            "unopened-archives",
            NOTE,
            f"{counted(number, 'archive')} {are(number)} not looked into",
            places,
            "An archive is opened where it is named, not where it lies among other files.",
            "name it beside the folder, if its images belong to the set",
        )
    ]


def _unseen(tree: Tree) -> list[Place]:
    places = []
    sniffed = 0
    for name in tree.files:
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in _OTHER_IMAGES:
            places.append(Place(name, f"{suffix[1:]} is not looked for"))
        elif (not suffix or suffix in (".download", ".part", ".tmp", ".bin", ".img")) and sniffed < _SNIFFED:
            sniffed += 1
            try:
                head = tree.read(name)[:8]
            except OSError:
                continue
            kind = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "")
            if kind:
                places.append(Place(name, f"{kind} bytes"))
    return places
