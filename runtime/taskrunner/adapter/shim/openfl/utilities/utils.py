"""Tags and hashes."""

import hashlib


def change_tags(tags, *, add_field=None, remove_field=None):
    """Return the tags, sorted, with one more and one less."""
    changed = set(tags)
    if add_field is not None:
        changed.add(add_field)
    if remove_field is not None:
        if remove_field not in changed:
            raise Exception(f"cannot remove the tag {remove_field!r}: it is none of {sorted(changed)}")
        changed.remove(remove_field)
    return tuple(sorted(changed))


def validate_file_hash(file_path, expected_hash, chunk_size=8192):
    """Raise SystemError unless a file has this SHA-384, in hexadecimal digits."""
    digest = hashlib.sha384()
    with open(file_path, "rb") as f:
        while chunk := f.read(chunk_size):
            digest.update(chunk)
    if digest.hexdigest() != expected_hash:
        raise SystemError(f"{file_path} has the SHA-384 {digest.hexdigest()}; {expected_hash} was expected")
