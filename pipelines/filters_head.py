"""The part of docs/filters.md that people write; ``filters_list`` adds what the registry knows."""

HEAD = """
# Filters

This page is printed by `gristmill filters --markdown`, and a test holds that it is up to date. `gristmill filters`
lists all filters, `gristmill filters NAME` shows one.

```yaml
filters:
  empty: {}                            # {}: as it is by default
  refusal: {partial: 0}
  length: {answer_words: {max: 2000}}
  shouting: {function: "rules.py:capitals", max: 0.5}
```

A recipe without `filters` has those marked *default* below. They find defects alone. As soon as `filters` is there,
it is the whole list: what it does not name does not run. `filters: {}` drops nothing.

## How a filter decides

1. **Measure.** Annotations look at the text, once for each record, and give columns of numbers: how many refusals,
   what share of the letters is Latin. The columns are kept with the corpus under a key of the content, the
   annotation's version and those settings that change what is measured.
2. **Hold against the settings.** A filter is a function of columns and settings. It never sees text, so **another
   threshold decides anew without reading any**. A setting that says what is measured (`repetition.min_words`, words
   to look for, a model) measures anew, that one annotation only.
3. **Say why.** Each rule has a name, `<filter>.<rule>`. Filters decide in the order of their names, rules in the
   order in which the filter gives them, and the first that hits is written to the ledger, with the value that was
   measured and the threshold. `gristmill why` shows it.

What a rule measures is the turn that it is about: a rule on answers does not read the prompt. A bound is the last
value that stays: `max: 3` drops from 4 on, `min: 3` drops below it. Where a description says "drop an answer of so
many words", the setting is the first that goes.

`gristmill signals recipe.yaml` shows the columns by source and what each rule would drop; with `--rule NAME
--threshold X` also what another threshold would, with records from both sides of it. Look there before you set a
bound: [signals.md](signals.md).

## A filter of your own

A filter with `function` calls a Python function of yours. Its name is your choice, in small letters, digits and
underscores. The path is relative to the recipe's folder.

```python
# rules.py
def capitals(record: dict) -> float | None:
    prompt = next((one["content"] for one in record["messages"] if one["role"] == "user"), "")
    letters = [character for character in prompt if character.isalpha()]
    return sum(map(str.isupper, letters)) / len(letters) if len(letters) >= 20 else None
```

- `record` is a dict with `messages`, `tools`, `chosen`, `rejected`, `label`, `origin`, `generator`, `license`,
  `language`, `task` and `extra` (JSON text), as the row itself says them; None where it does not.
- It returns a number, which is held against `min` and `max`; or, without these, True to keep and False to drop.
  None has nothing to say, and the record stays.
- Its value is cached like any other column, under the text of the file. Changing the file measures anew. What it
  imports, reads or looks up elsewhere is not seen: let the value depend on the record alone, or delete the work
  folder.
- The file's code runs as you, in every worker. Read a recipe of somebody else's before you run it.
- A function that fails stops the run with the record's id. It is called once for each record, which is slower than
  the filters here: these work on whole columns.

To add a filter to Gristmill itself, see [CONTRIBUTING.md](../CONTRIBUTING.md).

Below, *open* means that there is no bound, *none* an empty list or mapping, and `null` switches a rule off.
"""
