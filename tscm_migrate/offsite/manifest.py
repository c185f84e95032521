"""The JSON files beside the archives: a manifest for each copy, and records about it.

They are written once and never changed. What comes from a store is hostile input: its size is limited, it is checked,
and it cannot name a key outside the folders of its host.
"""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from tscm_migrate import __version__
from tscm_migrate.archive import names
from tscm_migrate.errors import CopyDamaged
from tscm_migrate.offsite import keys
from tscm_migrate.offsite.stores.base import is_key

MANIFEST: Literal["tscm-migrate/manifest/1"] = "tscm-migrate/manifest/1"
RECORD: Literal["tscm-migrate/record/1"] = "tscm-migrate/record/1"

Sealing = Literal["no", "passphrase", "public-key"]


_Kind = TypeVar("_Kind", bound="_File")


_NO_NAMES: set[str] = set()
_YEARS = 1990, 9000  # a time at the ends of the calendar does not fit into every zone


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a time without a zone")
    if not _YEARS[0] <= value.year < _YEARS[1]:
        raise ValueError("a time that no date here can be")
    return value.astimezone(UTC)


Time = Annotated[datetime, AfterValidator(_aware)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Short = Annotated[str, Field(max_length=300)]
Size = Annotated[int, Field(ge=0, lt=1 << 62)]


class _File(BaseModel):
    """Frozen; keys that a later version added are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    def dump(self) -> bytes:
        """Return the file's bytes: one key a line, ending in a newline."""
        return (json.dumps(self.as_dict(), indent=1, ensure_ascii=False) + "\n").encode()

    def as_dict(self) -> dict[str, Any]:
        """Return what `dump` writes, as plain JSON types; the first key is the schema."""
        return self.model_dump(mode="json", by_alias=True)


class Manifest(_File):
    """One copy. Times are UTC.

    `sha256` and `size` are of the stored bytes, `source_sha256` and `source_size` of the archive on the appliance; they
    differ if this tool encrypted it. `verified_at`: when the pull read the stored bytes back and compared the hash;
    None if it compared the size only. `behind`: a verified copy with a later date was there already when it was pulled.
    """

    schema_: Literal["tscm-migrate/manifest/1"] = Field(default=MANIFEST, alias="schema", serialization_alias="schema")
    id: Short
    host: Short
    archive: Short
    data: Short
    size: Size
    sha256: Hash
    source_size: Size
    source_sha256: Hash
    encrypted: Sealing
    sealed_to: tuple[Short, ...] = ()  # fingerprints of the keys that this tool encrypted to
    key_ids: tuple[Short, ...] = ()  # key ids named in the stored bytes
    taken_at: Time
    pulled_at: Time
    verified_at: Time | None = None
    versions: dict[str, Short] = Field(default_factory=dict)
    os: Short = ""
    tags: tuple[Short, ...] = ()
    behind: bool = False
    tool: Short = f"tscm-migrate {__version__}"


class Record(_File):
    """A later result about a copy.

    Its kinds are `verify` (the bytes were read; `sha256` is their hash), `drill` (decrypted, unpacked and checked),
    `tag` (`tags` replaces the copy's tags), and `restore` (of earlier versions; ignored). `data`: the key of the bytes
    that were read; a record about bytes that were replaced since is ignored.
    """

    schema_: Literal["tscm-migrate/record/1"] = Field(default=RECORD, alias="schema", serialization_alias="schema")
    copy_: Short = Field(alias="copy", serialization_alias="copy")
    host: Short
    kind: Literal["verify", "drill", "restore", "tag"]
    at: Time
    data: Short = ""
    ok: bool = True
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    detail: Short = ""
    tags: tuple[Short, ...] = ()
    tool: Short = f"tscm-migrate {__version__}"


def parse_manifest(body: bytes, key: str) -> Manifest:
    """Parse the manifest at `key`.

    Raises:
        CopyDamaged: it is not valid, or names another host or a data key of another host.
    """
    found = _parsed(Manifest, MANIFEST, body, key)
    folder = keys.archives(found.host)
    data_is_ours = found.data.startswith(f"{folder}/{found.archive}~") and "/" not in found.data[len(folder) + 1 :]
    if key != keys.manifest(found.host, found.id) or not data_is_ours or not is_key(found.data):
        raise CopyDamaged(detail=f"{key}: the manifest does not belong where it lies")
    if not names.acceptable(found.archive) or found.id != keys.copy_id(found.archive, found.source_sha256):
        raise CopyDamaged(detail=f"{key}: the manifest names an archive with another name")
    return found


def parse_record(body: bytes, key: str) -> Record:
    """Parse the record at `key`.

    Raises:
        CopyDamaged: it is not valid, or is about another copy.
    """
    found = _parsed(Record, RECORD, body, key)
    if not key.startswith(f"{keys.records(found.host)}/{found.copy_}/"):
        raise CopyDamaged(detail=f"{key}: the record does not belong where it lies")
    return found


def _parsed(kind: type[_Kind], schema: str, body: bytes, key: str) -> _Kind:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:  # also UnicodeDecodeError, and numbers of too many digits
        raise CopyDamaged(detail=f"{key}: not JSON") from error
    if not isinstance(data, dict):
        raise CopyDamaged(detail=f"{key}: not a JSON object")
    if data.get("schema") != schema:
        fix = "a newer tscm-migrate may have written it: upgrade this one"
        raise CopyDamaged(detail=f"{key}: the schema is {str(data.get('schema'))[:60]!r}, not {schema}", fix=fix)
    try:
        found = kind.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise CopyDamaged(detail=f"{key}: {'.'.join(map(str, first['loc']))[:100]}: {first['msg'][:200]}") from error
    except (ValueError, ArithmeticError, RecursionError) as error:  # what a validator cannot compute with
        raise CopyDamaged(detail=f"{key}: a value in it is out of all bounds ({type(error).__name__})") from error
    # The names of the keys that a file had are not used; a set of them for each file is most of a catalog's memory.
    object.__setattr__(found, "__pydantic_fields_set__", _NO_NAMES)
    return found
