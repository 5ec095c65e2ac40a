"""Metadata plus an edit → metadata."""

from __future__ import annotations

from typing import Any

from .wire import RefusedError

Fields = dict[str, Any]


def plain_keys(value: Any) -> Any:
    """Rewrite keys as the platform stores them: ``$`` becomes ``-`` and ``.`` becomes ``_``."""
    if isinstance(value, dict):
        return {key.replace("$", "-").replace(".", "_"): plain_keys(item) for key, item in value.items()}
    return [plain_keys(item) for item in value] if isinstance(value, list) else value


def edit_info(info: Fields, edit: Fields) -> Fields:
    """Apply ``{"set"|"replace": {...}}`` or ``{"delete": [...]}``."""
    if "replace" in edit:
        return checked_info(edit["replace"])
    kept = {key: item for key, item in info.items() if key not in edit.get("delete", [])}
    return kept | checked_info(edit.get("set") or {})


def checked_info(info: Any) -> Fields:
    """Turn what a client calls info into what is stored."""
    if not isinstance(info, dict):
        raise RefusedError(422, "info is not an object")
    return plain_keys(info)  # type: ignore[no-any-return]


def edit_classification(fields: Fields, edit: Fields) -> Fields:
    """Apply ``{"add"|"delete"|"replace": {...}, "modality": ...}`` to a file's metadata."""
    modality = edit.get("modality", fields["modality"])
    if "replace" in edit:
        result = edit["replace"]
    else:
        result = {key: list(values) for key, values in fields["classification"].items()}
        for key, values in (edit.get("add") or {}).items():
            result[key] = list(dict.fromkeys([*result.get(key, []), *values]))
        for key, values in (edit.get("delete") or {}).items():
            result[key] = [value for value in result.get(key, []) if value not in values]
    return fields | {
        "classification": checked_classification(result, modality),
        "modality": modality,
    }


def checked_classification(classification: Any, modality: str | None) -> Fields:
    """Refuse what the platform refuses: only ``Custom`` is free of a modality."""
    if not isinstance(classification, dict) or not all(
        isinstance(values, list) and all(isinstance(value, str) for value in values)
        for values in classification.values()
    ):
        raise RefusedError(422, "A classification maps names to lists of words")
    if modality is None and set(classification) - {"Custom"}:
        raise RefusedError(422, "Without a modality only Custom can be classified")
    return classification
