//! "Did you mean".

/// The one of `known` that `name` is probably meant to be: the nearest by edits, a third of its length at most.
pub fn suggest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = plain(name);
    known
        .into_iter()
        .map(|candidate| (edits(&name, &plain(candidate)), candidate))
        .filter(|(edits, candidate)| *edits <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Case and the choice between `-`, `_` and nothing are no mistake worth an edit.
fn plain(name: &str) -> Vec<char> {
    name.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).take(64).collect()
}

/// Levenshtein's distance, a swap of neighbours counting as one edit.
fn edits(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let get = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX - 1);
            let replaced = get(&last, j) + usize::from(x != y);
            let mut best = replaced.min(get(&last, j + 1) + 1).min(get(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                best = best.min(get(&before_last, j - 1) + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::suggest;

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        let known = ["timeout", "interval", "max_interval", "path", "key", "topic"];
        for (name, meant) in [
            ("timout", Some("timeout")),
            ("tiemout", Some("timeout")),
            ("maxInterval", Some("max_interval")),
            ("max-interval", Some("max_interval")),
            ("keys", Some("key")),
            ("tpic", Some("topic")),
            ("x", None),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(suggest(name, known), meant, "{name}");
        }
    }
}
