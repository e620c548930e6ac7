//! What to do about text that is not YAML: most of the time a value that had to be quoted.

/// Lines that people write are shorter; the search is quadratic.
const LONGEST_LINE: usize = 1000;

/// A hint for the error `what` at `column` (from 1) of `line`.
pub(super) fn of(line: &str, column: usize, what: &str) -> Option<String> {
    let chars: Vec<char> = line.chars().take(LONGEST_LINE).collect();
    let at = chars.get(column - 1).copied().unwrap_or_default();
    if what.contains("tabs") {
        return Some("indent with spaces".to_owned());
    }
    if what.contains("second document") {
        return Some("one document a file: remove the line ---".to_owned());
    }
    if let Some(unquoted) = bracketed(&chars) {
        return Some(format!("quote it: {unquoted}"));
    }
    if what.contains("trailing content after") {
        return quoted_start(&chars, column - 1).map(|text| format!("quote it: {}", quote(&text)));
    }
    if matches!(at, '*' | '&' | '!' | '@' | '`' | '%') {
        return Some(format!("a value that begins with {at} must be quoted"));
    }
    if what.contains("mapping values are not allowed") {
        let value = value_before(&chars, column - 1).map(|text| format!("quote it: {}", quote(&text)));
        return value.or_else(|| Some("check the indentation of this line".to_owned()));
    }
    if what.contains("expected key") || what.contains("expected '-'") {
        return Some("check the indentation of this line".to_owned());
    }
    what.contains("illegal placement").then(|| "is a bracket or quote left open above?".to_owned())
}

/// The first text of the line that begins with a bracket and is not what YAML takes that for, in quotes:
/// `[0-9]{2}`, `{name}__e`, `{x}: y`.
fn bracketed(chars: &[char]) -> Option<String> {
    let mut flow = 0_usize;
    let mut before = None;
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let begins = matches!(before, None | Some(':' | '-' | ',' | '[' | '{'));
        match c {
            '#' if at == 0 || chars.get(at - 1).is_some_and(|c| c.is_whitespace()) => return None,
            '"' | '\'' if begins => at = close_quote(chars, at).unwrap_or(at),
            '[' | '{' if begins => {
                if let Some(found) = not_flow(chars, at, flow > 0, matches!(before, None | Some('-'))) {
                    return Some(found);
                }
                flow += 1;
            }
            ']' | '}' => flow = flow.saturating_sub(1),
            _ => {}
        }
        if !c.is_whitespace() {
            before = chars.get(at).copied();
        }
        at += 1;
    }
    None
}

/// Text from an opening bracket that goes on after its closing bracket, or that opens two braces at once.
fn not_flow(chars: &[char], from: usize, in_flow: bool, is_first: bool) -> Option<String> {
    let end = close_bracket(chars, from)? + 1;
    let doubled = chars.get(from) == Some(&'{') && chars.get(from + 1) == Some(&'{');
    let rest = chars.get(end..).unwrap_or_default();
    let next =
        rest.iter().position(|c| !c.is_whitespace()).map(|n| (n, rest.get(n).copied().unwrap_or_default()));
    match next {
        Some((0, ':')) if is_first => {
            let key: String = chars.get(from..end)?.iter().collect();
            let rest: String = rest.iter().collect();
            return Some(format!("{}{}", quote(&key), rest.trim_end()));
        }
        None | Some((_, ',' | ']' | '}') | (1.., '#')) if !doubled => return None,
        _ => {}
    }
    let mut open = 0_usize;
    let mut to = from;
    while let Some(&c) = chars.get(to) {
        match c {
            '[' | '{' => open += 1,
            ']' | '}' if open == 0 => break,
            ']' | '}' => open -= 1,
            ',' if open == 0 && in_flow => break,
            '#' if chars.get(to.wrapping_sub(1)).is_some_and(|c| c.is_whitespace()) => break,
            _ => {}
        }
        to += 1;
    }
    let text: String = chars.get(from..to)?.iter().collect();
    Some(quote(text.trim()))
}

fn close_bracket(chars: &[char], from: usize) -> Option<usize> {
    let mut open = 0_usize;
    for (at, c) in chars.iter().enumerate().skip(from) {
        match c {
            '[' | '{' => open += 1,
            ']' | '}' => {
                open = open.checked_sub(1)?;
                if open == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

fn close_quote(chars: &[char], from: usize) -> Option<usize> {
    let quote = chars.get(from)?;
    chars.iter().enumerate().skip(from + 1).find(|(_, c)| *c == quote).map(|(at, _)| at)
}

/// The rest of the line from the quoted text that ends before `at`.
fn quoted_start(chars: &[char], at: usize) -> Option<String> {
    let before = chars.get(..at)?;
    let end = before.iter().rposition(|c| matches!(c, '"' | '\''))?;
    let quote = before.get(end)?;
    let from = before.iter().take(end).position(|c| c == quote)?;
    Some(chars.get(from..)?.iter().collect::<String>().trim_end().to_owned())
}

/// The value of the line, if it has begun before `at`.
fn value_before(chars: &[char], at: usize) -> Option<String> {
    let colon = chars.windows(2).position(|pair| matches!(pair, [':', ' ']))?;
    let text: String = chars.get(colon + 1..)?.iter().collect();
    (colon < at).then(|| text.trim().to_owned())
}

/// In quotes that leave the text as it is.
fn quote(text: &str) -> String {
    if text.contains(['"', '\\']) && !text.contains('\'') { format!("'{text}'") } else { format!("{text:?}") }
}
