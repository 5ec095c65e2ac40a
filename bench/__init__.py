"""Our command beside its peers and the copy floors: CPU, memory and bytes of whole processes. ``make bench``."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
"""Real files and profiles, on machines that have them; all is measured without, too."""
