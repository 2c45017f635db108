import io
import warnings

import numpy as np
import pytest
import torch
from photos import encoded, jpeg, pixels
from PIL import Image, ImageOps
from torchvision.io import ImageReadMode, decode_jpeg

from limbeck.images import decode as decoding
from limbeck.images.decode import Unreadable, decode, photo_size

PHOTO = Image.fromarray(pixels())


def by_pillow(data: bytes) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def palette_with_transparency() -> bytes:
    return encoded(PHOTO.quantize(64), "PNG", transparency=bytes(range(64)))


def two_frames() -> bytes:
    return encoded(PHOTO.quantize(64), "GIF", save_all=True, append_images=[Image.new("P", PHOTO.size)])


FORMATS = {
    "jpeg": encoded(PHOTO, "JPEG", quality=90),
    "jpeg progressive": encoded(PHOTO, "JPEG", progressive=True),
    "jpeg 4:2:0": encoded(PHOTO, "JPEG", subsampling="4:2:0"),
    "jpeg grey": encoded(PHOTO.convert("L"), "JPEG"),
    "jpeg cmyk": encoded(PHOTO.convert("CMYK"), "JPEG"),
    "jpeg odd bytes": encoded(PHOTO, "JPEG")[:-2] + bytes(9) + b"\xff\xd9",
    "png": encoded(PHOTO, "PNG"),
    "png grey": encoded(PHOTO.convert("L"), "PNG"),
    "png one bit": encoded(PHOTO.convert("1"), "PNG"),
    "png alpha": encoded(Image.merge("RGBA", (*PHOTO.split(), PHOTO.convert("L"))), "PNG"),
    "png grey alpha": encoded(Image.merge("LA", (PHOTO.convert("L"), PHOTO.getchannel(0))), "PNG"),
    "png palette": encoded(PHOTO.quantize(64), "PNG"),
    "png palette transparent": palette_with_transparency(),
    "webp": encoded(PHOTO, "WEBP", quality=90),
    "webp alpha": encoded(Image.merge("RGBA", (*PHOTO.split(), PHOTO.convert("L"))), "WEBP"),
    "bmp": encoded(PHOTO, "BMP"),
    "tiff": encoded(PHOTO, "TIFF"),
    "tiff lzw": encoded(PHOTO, "TIFF", compression="tiff_lzw"),
    "tiff cmyk": encoded(PHOTO.convert("CMYK"), "TIFF"),
    "gif": encoded(PHOTO.quantize(64), "GIF"),
    "gif of two frames": two_frames(),
}


@pytest.mark.parametrize("name", FORMATS)
def test_pixels_are_those_of_pillow(name: str) -> None:
    data = FORMATS[name]
    image = decode(data)
    assert image.dtype == torch.uint8
    assert torch.equal(image, by_pillow(data))
    assert photo_size(data) == image.shape[1:]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_turned_as_the_exif_says(kind: str, orientation: int) -> None:
    data = encoded(PHOTO, kind, orientation)
    assert torch.equal(decode(data), by_pillow(data))
    assert photo_size(data) == decode(data).shape[1:]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_jpeg_pixels_are_those_of_torchvision(orientation: int) -> None:
    data = jpeg(orientation=orientation)
    raw = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    assert torch.equal(decode(data), decode_jpeg(raw, mode=ImageReadMode.RGB, apply_exif_orientation=True))


def test_damaged_exif_does_not_cost_the_photo() -> None:
    data = jpeg(orientation=6).replace(b"Exif\0\0MM", b"Exif\0\0??").replace(b"Exif\0\0II", b"Exif\0\0??")
    assert decode(data).shape == (3, 96, 128)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_large_jpeg_comes_out_at_a_power_of_two_and_looks_the_same(orientation: int) -> None:
    data = jpeg(400, 600, orientation=orientation)
    whole = decode(data)
    height, width = whole.shape[1:]
    for by in (2, 4, 8):
        reduced = decode(data, smallest=(height // by, width // by))
        assert reduced.shape == (3, height // by, width // by)
        mean = torch.nn.functional.avg_pool2d(whole.float(), by)
        assert (reduced.float() - mean).abs().mean() < 2
    assert decode(data, smallest=(height // 2 + 1, 1)).shape == whole.shape
    assert torch.equal(decode(data, smallest=(height, width)), whole)


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    expected = np.rint(ramp / 257).astype(np.int16)
    for kind in ("PNG", "TIFF"):
        image = decode(encoded(Image.fromarray(ramp), kind))
        assert image.shape == (3, 64, 64)
        assert np.abs(image.numpy() - expected).max() <= 1


def test_sixteen_bit_colour_is_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 4 * 6 * 3).astype(">u2").reshape(4, 6, 3)
    image = decode(png_of_sixteen_bits(ramp)).permute(1, 2, 0).numpy()
    assert np.abs(image - ramp.astype(np.float64) / 257).max() <= 1


def png_of_sixteen_bits(colours: np.ndarray) -> bytes:
    import struct
    import zlib

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    height, width, _ = colours.shape
    rows = b"".join(b"\0" + row.tobytes() for row in colours)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0])
def test_float_tiff_is_scaled_by_its_range(white: float) -> None:
    ramp = np.linspace(0, white, 48 * 48, dtype=np.float32).reshape(48, 48)
    image = decode(encoded(Image.fromarray(ramp), "TIFF"))
    assert np.abs(image[0].numpy() - ramp / white * 255).max() <= 0.51


CUT = {
    name: data
    for name, data in FORMATS.items()
    if name.split()[0] in ("jpeg", "png", "webp", "bmp", "tiff") and "odd" not in name
}


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
@pytest.mark.parametrize("name", CUT)
def test_cut_files_are_refused_with_the_reason(name: str, share: float) -> None:
    data = CUT[name]
    with pytest.raises(ValueError, match=r"cut short|damaged|not an image"):
        decode(data[: int(len(data) * share)])


@pytest.mark.parametrize("missing", [2, 3, 60, 3000])
def test_cut_jpegs_are_refused_at_a_reduced_scale_too(missing: int) -> None:
    data = jpeg(400, 600)
    with pytest.raises(Unreadable, match="cut short"):
        decode(data[:-missing])
    with pytest.raises(Unreadable, match="cut short"):
        decode(data[:-missing], smallest=(100, 150))


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"hello", bytes(1000), b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    for read in (decode, photo_size):
        with pytest.raises(Unreadable, match=r"not an image|cut short|damaged"):
            read(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP"])
def test_bombs_are_refused_before_they_are_decoded(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(PHOTO, kind)
    monkeypatch.setattr(decoding, "MOST_PIXELS", 96 * 128 - 1)
    for read in (decode, photo_size):
        with pytest.raises(Unreadable, match="declares 12,288 pixels"):
            read(data)


def test_a_real_bomb_is_refused() -> None:
    png = bytearray(encoded(Image.new("1", (8, 8)), "PNG"))
    import struct
    import zlib

    png[16:24] = struct.pack(">II", 60_000, 60_000)
    png[29:33] = struct.pack(">I", zlib.crc32(png[12:29]))
    with pytest.raises(Unreadable, match="declares"):
        decode(bytes(png))


def test_pillow_warnings_stay_inside() -> None:
    # the suite turns any warning into an error; Pillow warns of large photos and of transparent palettes
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        decode(palette_with_transparency())
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, 10_000
        try:
            decode(FORMATS["png"])
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    assert heard == []
