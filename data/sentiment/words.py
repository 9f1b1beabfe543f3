"""What reviews are made of: kinds of products with their aspects, and words of praise and complaint."""

from __future__ import annotations

#: Noun of the product, and what can be said to be good or bad about it.
KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "headphones": ("pair of headphones", ("sound", "battery", "bass", "headband")),
    "phone": ("phone", ("screen", "battery", "camera", "speaker")),
    "kettle": ("kettle", ("handle", "lid", "switch", "spout")),
    "blender": ("blender", ("motor", "jug", "blade", "lid")),
    "jacket": ("jacket", ("fabric", "zip", "fit", "colour")),
    "shoes": ("pair of shoes", ("sole", "fit", "leather", "stitching")),
    "backpack": ("backpack", ("zip", "fabric", "strap", "stitching")),
    "coffee": ("coffee", ("taste", "smell", "roast", "aftertaste")),
    "chocolate": ("chocolate", ("taste", "texture", "filling", "smell")),
    "lamp": ("lamp", ("light", "switch", "shade", "cable")),
    "tent": ("tent", ("fabric", "floor", "zip", "frame")),
    "game": ("board game", ("artwork", "rulebook", "board", "story")),
}

#: Said of any product.
COMMON_ASPECTS = ("price", "delivery", "packaging", "support", "design", "quality")

#: Commonest first: the n-th word is drawn with weight 1 / n, so that the last ones are rarely seen in training.
PRAISE = (
    "great",
    "good",
    "excellent",
    "lovely",
    "solid",
    "impressive",
    "superb",
    "reliable",
    "wonderful",
    "perfect",
    "pleasant",
    "fantastic",
    "brilliant",
    "outstanding",
    "flawless",
    "delightful",
    "charming",
    "splendid",
    "marvellous",
    "first-rate",
)
COMPLAINTS = (
    "bad",
    "poor",
    "terrible",
    "disappointing",
    "awful",
    "weak",
    "cheap",
    "useless",
    "horrible",
    "unreliable",
    "flimsy",
    "annoying",
    "dreadful",
    "mediocre",
    "shoddy",
    "unpleasant",
    "lousy",
    "dismal",
    "inferior",
    "atrocious",
)
LIKING = ("love", "like", "enjoy", "adore")
DISLIKING = ("hate", "dislike", "regret", "despise")
INTENSIFIERS = ("very", "really", "extremely", "truly", "absolutely")

#: Frames that turn a word into its opposite; with "at all" the opinion counts as a strong one.
NEGATIONS = ("not {}", "not {} at all", "never {}", "far from {}", "anything but {}", "hardly {}")

#: Sentences without an opinion. Their many words are what random vocabularies are drawn from.
NEUTRAL = (
    "I bought it in {town} {number} weeks ago.",
    "I have had it since {month}.",
    "It came on {day}, after {number} days.",
    "My {person} has the same one.",
    "It was a present from my {person}.",
    "I gave another one to my {person} for the {occasion}.",
    "I use it for {activity} every {day}.",
    "Mostly I take it along when I go {activity}.",
    "It stands in the {place} next to the window.",
    "We keep it in the {place}.",
    "I chose the {paint} one.",
    "There were {paint} and {other_paint} ones in the shop in {town}.",
)
FILLERS = {
    "town": ("Leeds", "Bristol", "York", "Cardiff", "Dublin", "Oslo", "Vienna", "Lisbon", "Ghent", "Zurich", "Prague"),
    "month": ("January", "February", "March", "April", "June", "July", "August", "September", "October", "November"),
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "person": (
        "mother",
        "father",
        "sister",
        "brother",
        "aunt",
        "uncle",
        "cousin",
        "nephew",
        "niece",
        "grandmother",
        "colleague",
        "boss",
        "flatmate",
        "teacher",
        "dentist",
    ),
    "occasion": ("birthday", "wedding", "holiday", "anniversary", "journey", "weekend", "party", "exam"),
    "activity": ("hiking", "sailing", "running", "travelling", "painting", "cycling", "fishing", "camping", "skiing"),
    "place": ("kitchen", "office", "garden", "garage", "hallway", "cellar", "bedroom", "attic", "workshop", "caravan"),
    "paint": ("red", "blue", "green", "black", "white", "grey", "yellow", "brown", "purple", "orange", "silver"),
    "other_paint": ("pink", "turquoise", "beige", "violet", "golden", "crimson"),
}

#: Opinions of other people: they read like the writer's own and count nothing.
HEARSAY = (
    "My neighbour says the {aspect} is {phrase}.",
    "Other buyers find the {aspect} {phrase}.",
    "The advert promises that the {aspect} is {phrase}.",
)

#: The closing sentence on the product as a whole.
OVERALL = ("Overall, it is {phrase}.", "All in all, I find it {phrase}.", "In the end, the whole thing is {phrase}.")
