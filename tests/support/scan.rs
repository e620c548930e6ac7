//! A fast look at Bayeux messages: enough to check millions of deliveries without parsing JSON in full.

/// Calls `each` with every object of a JSON array.
pub fn objects(array: &[u8], mut each: impl FnMut(&[u8])) {
    let (mut depth, mut start, mut at) = (0_usize, 0, 0);
    while at < array.len() {
        match array[at] {
            b'"' => at = string_end(array, at),
            b'{' | b'[' => {
                depth += 1;
                if depth == 2 {
                    start = at;
                }
            }
            b'}' | b']' => {
                depth = depth.checked_sub(1).expect("brackets match");
                if depth == 1 {
                    each(&array[start..=at]);
                }
            }
            _ => {}
        }
        at += 1;
    }
    assert_eq!(depth, 0, "not a whole array: {}", String::from_utf8_lossy(array));
}

/// Channel and data of a delivery; `None` for a reply. Deliveries are `{"channel":…,"data":…}` and nothing else.
pub fn delivery(object: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = object.strip_prefix(br#"{"channel":""#)?;
    if rest.starts_with(b"/meta/") {
        return None;
    }
    let end = memchr::memchr(b'"', rest)?;
    let data = rest[end..].strip_prefix(br#"","data":"#)?;
    Some((&rest[..end], data.strip_suffix(b"}")?))
}

/// The place of the quote that ends the string which begins at `at`.
fn string_end(text: &[u8], at: usize) -> usize {
    let mut from = at + 1;
    loop {
        let found = from + memchr::memchr2(b'"', b'\\', &text[from..]).expect("a string ends");
        if text[found] == b'"' {
            return found;
        }
        from = found + 2;
    }
}

#[test]
fn deliveries_are_found_among_replies() {
    let array = br#"[{"channel":"/a/b","data":{"x":"}\"]","y":[{}]}}, {"channel":"/meta/connect","successful":true},{"channel":"/c","data":null}]"#;
    let mut found = Vec::new();
    objects(array, |object| {
        if let Some((channel, data)) = delivery(object) {
            found.push((
                String::from_utf8_lossy(channel).into_owned(),
                String::from_utf8_lossy(data).into_owned(),
            ));
        }
    });
    assert_eq!(found, [("/a/b".into(), r#"{"x":"}\"]","y":[{}]}"#.into()), ("/c".into(), "null".into())]);
}
