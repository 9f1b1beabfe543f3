"""What would have to come about first, where the verb only supposes: "With a recovery, EPS would increase"."""

from __future__ import annotations

BEGIN = r"(?:\A|(?<=[.!?;\n]))[\s*_\"'(>-]*"
"""Where a sentence begins, or a part of one."""
_REST = r"\b[^,.;:?]{0,60}"
_SUPPOSES = r"(?=[^?.;]{0,200}\b(?:would|could|might)\b)"
EVENTS = {
    "en": r"(?:with|under|in|given|after|following|upon)\s+(?:an?|any)\s+(?:[\w'’-]+\s+){0,3}?"
    r"(?:recovery|rebound|upturn|upswing|downturn|recession|slowdown|turnaround|boom|bust|crisis|slump|shock|merger|"
    r"takeover|(?:rate|tax|price|cost)\s+(?:cut|rise|hike|increase)|scenario(?!\s+like))"
    rf"{_REST},(?!\s*(?:I|we)\b){_SUPPOSES}|"
    rf"under\s+(?:[\w'’-]+\s+)?(?:conditions|circumstances){_REST}{_SUPPOSES}",
    "de": r"(?:bei|mit|nach|in)\s+eine[rm]\s+(?:\w+\s+){0,2}?"
    r"(?:erholung|aufschwung|abschwung|rezession|krise|belebung|einbruch|szenario|boom)"
    rf"{_REST}?\s(?=(?:würden?|könnten?)\s+(?!ich\b))",
    "fr": r"(?:avec|dans|lors\s+d['’]|après)\s*une?\s+(?:\w+\s+)?"
    rf"(?:reprise|rebond|récession|crise|ralentissement|scénario){_REST},(?=[^?.;]{{0,200}}rai(?:t|ent)\b)",
    "es": r"(?:con|en|ante|tras)\s+una?\s+(?:\w+\s+)?"
    rf"(?:recuperación|recesión|crisis|desaceleración|repunte|escenario){_REST},(?=[^?.;]{{0,200}}rían?\b)",
    "it": r"(?:con|in|dopo)\s+un(?:a\s+|o\s+|\s+|['’])(?:\w+\s+)?"
    rf"(?:ripresa|recessione|crisi|rallentamento|rimbalzo|scenario){_REST},(?=[^?.;]{{0,200}}rebb(?:e|ero)\b)",
    "pt": r"(?:com|em|numa?|após)\s+(?:uma?\s+)?(?:\w+\s+)?"
    rf"(?:recuperação|recessão|crise|desaceleração|cenário){_REST},(?=[^?.;]{{0,200}}riam?\b)",
}
"""Patterns per language of an event, up to the comma or verb behind it, in a sentence whose verb supposes."""
