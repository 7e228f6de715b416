"""Values as JSON that comes back as it went.

``codec_for`` makes a codec of a type hint, ``codec_with`` one of a user's own functions; ``encode_json`` is for data
that is JSON already. What comes back, what is refused and what to do about it: ``docs/values.md``.
"""

from loom_core.values.codec import Codec, codec_for, codec_with, encode_json
from loom_core.values.same import same
from loom_core.values.text import digest

__all__ = ["Codec", "codec_for", "codec_with", "digest", "encode_json", "same"]
