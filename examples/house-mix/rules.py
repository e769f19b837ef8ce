"""A filter of our own: Gristmill calls the function with every record and holds what it returns against the recipe."""


def capitals(record: dict) -> float | None:
    """Share of capitals among the letters of the first prompt; None, nothing to say, below twenty letters."""
    prompt = next((one["content"] for one in record["messages"] if one["role"] == "user"), "")
    letters = [character for character in prompt if character.isalpha()]
    return sum(map(str.isupper, letters)) / len(letters) if len(letters) >= 20 else None
