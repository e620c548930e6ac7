use bytes::{BufMut, Bytes};
use proptest::prelude::*;

use super::*;
use crate::stream::compressed_text_frame;

/// One frame as a client sends it.
fn client_frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        short @ 0..=125 => out.push(MASKED | u8::try_from(short).unwrap()),
        medium @ 126..=0xFFFF => {
            out.push(MASKED | 0x7E);
            out.put_u16(u16::try_from(medium).unwrap());
        }
        long => {
            out.push(MASKED | 0x7F);
            out.put_u64(long as u64);
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

fn text(payload: &str) -> Vec<u8> {
    client_frame(0x81, payload.as_bytes(), [1, 2, 3, 4])
}

fn decode_all(decoder: &mut Decoder, mut input: &[u8]) -> Result<Vec<Message>, Violation> {
    let mut messages = Vec::new();
    while let Some(message) = decoder.decode(&mut input)? {
        messages.push(message);
    }
    assert!(input.is_empty(), "all is taken");
    Ok(messages)
}

fn decode(input: &[u8]) -> Result<Vec<Message>, Violation> {
    decode_all(&mut Decoder::new(1000, false), input)
}

fn violation(input: &[u8]) -> u16 {
    decode(input).unwrap_err().code()
}

#[test]
fn texts_of_every_length_form() {
    for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_001] {
        let payload = "é".repeat(length / 2) + if length % 2 == 1 { "x" } else { "" };
        let messages = decode_all(&mut Decoder::new(100_000, false), &text(&payload)).unwrap();
        assert_eq!(messages, [Message::Text(payload.into())]);
    }
}

#[test]
fn control_frames_come_between_fragments() {
    let mut input = client_frame(0x01, b"one ", [9; 4]);
    input.extend(client_frame(0x89, b"are you there", [7, 8, 9, 1]));
    input.extend(client_frame(0x00, b"two ", [0; 4]));
    input.extend(client_frame(0x8A, b"", [0; 4]));
    input.extend(client_frame(0x80, b"three", [1, 0, 255, 3]));
    input.extend(client_frame(0x82, &[0xFF, 0xFE], [1; 4]));
    input.extend(client_frame(0x88, b"", [0; 4]));
    let expected = [
        Message::Ping("are you there".into()),
        Message::Pong,
        Message::Text("one two three".into()),
        Message::Binary(Bytes::from_static(&[0xFF, 0xFE])),
        Message::Close(None),
    ];
    assert_eq!(decode(&input).unwrap(), expected);
}

#[test]
fn nothing_is_held_between_messages() {
    let mut decoder = Decoder::new(1000, false);
    decode_all(&mut decoder, &[text("hello"), client_frame(0x89, b"ping", [1; 4])].concat()).unwrap();
    assert_eq!(decoder.held(), 0);
}

#[test]
fn a_header_alone_takes_no_memory() {
    let mut decoder = Decoder::new(usize::MAX, false);
    let header = [0x81, MASKED | 127, 0, 0, 0, 0, 0xFF, 0, 0, 0, 1, 2, 3, 4];
    assert_eq!(decode_all(&mut decoder, &header).unwrap(), []);
    assert_eq!(decoder.held(), 0);
}

#[test]
fn wrong_framing_is_1002() {
    assert_eq!(violation(&[0x81, 0x02, b'[', b']']), 1002, "not masked");
    for reserved in [0xC1, 0xA1, 0x91] {
        assert_eq!(violation(&client_frame(reserved, b"x", [0; 4])), 1002);
    }
    for opcode in [3, 4, 7, 0xB, 0xF] {
        assert_eq!(violation(&client_frame(0x80 | opcode, b"x", [0; 4])), 1002);
    }
    assert_eq!(violation(&client_frame(0x09, b"x", [0; 4])), 1002, "fragmented ping");
    assert_eq!(violation(&client_frame(0x89, &[0; 126], [0; 4])), 1002, "long ping");
    assert_eq!(violation(&client_frame(0x80, b"x", [0; 4])), 1002, "continuation of nothing");
    let huge = [0x81, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    assert_eq!(violation(&huge), 1002, "the highest bit of the length");
    assert_eq!(violation(&[0x81, 0xFE, 0, 1, 0, 0, 0, 0, b'1']), 1002, "a length longer than it need be");
    assert_eq!(violation(&[0x81, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0]), 1002);
    let nested = [client_frame(0x01, b"x", [0; 4]), text("y")].concat();
    assert_eq!(violation(&nested), 1002);
}

#[test]
fn a_text_must_be_utf_8() {
    assert_eq!(violation(&client_frame(0x81, &[0xC3, 0x28], [1, 2, 3, 4])), 1007);
    assert_eq!(violation(&client_frame(0x81, &[b'x', 0xE2, 0x82], [1, 2, 3, 4])), 1007, "cut at its end");
    // A character may be cut by fragments.
    let cut = [client_frame(0x01, &[0xC3], [5; 4]), client_frame(0x80, &[0xA9], [6; 4])].concat();
    assert_eq!(decode(&cut).unwrap(), [Message::Text("é".into())]);
    let cut = [client_frame(0x01, &[0xF0, 0x9F], [5; 4]), client_frame(0x00, &[0x8C], [6; 4])].concat();
    let cut = [cut, client_frame(0x00, &[], [6; 4]), client_frame(0x80, &[0x99], [6; 4])].concat();
    assert_eq!(decode(&cut).unwrap(), [Message::Text("🌙".into())]);
    let never = [client_frame(0x01, &[0xC3], [5; 4]), client_frame(0x80, &[], [6; 4])].concat();
    assert_eq!(violation(&never), 1007);
    // A binary message may be anything, and the next text is checked from its own beginning.
    let binary = client_frame(0x82, &[0xC3], [5; 4]);
    assert_eq!(decode(&[binary, text("x")].concat()).unwrap()[1], Message::Text("x".into()));
}

#[test]
fn text_that_cannot_become_utf_8_is_refused_at_its_first_wrong_byte() {
    let frame = client_frame(0x01, &[b'x', 0xF4, 0x90, b'y', b'z'], [1, 2, 3, 4]);
    let mut decoder = Decoder::new(1000, false);
    let (first, rest) = frame.split_at(frame.len() - 3);
    assert_eq!(decode_all(&mut decoder, first), Ok(vec![]));
    assert_eq!(decode_all(&mut decoder, &rest[..1]), Err(Violation::NotUtf8));
}

#[test]
fn compressed_messages() {
    let hello = [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];
    let decode = |frames: &[(u8, &[u8])]| {
        let input: Vec<_> =
            frames.iter().flat_map(|(first, payload)| client_frame(*first, payload, [7; 4])).collect();
        let mut decoder = Decoder::new(1000, true);
        decode_all(&mut decoder, &input)
            .inspect(|_| assert_eq!((decoder.held(), decoder.is_within()), (0, false)))
    };
    let text = || Message::Text("Hello".into());
    assert_eq!(decode(&[(0xC1, &hello)]), Ok(vec![text()]));
    assert_eq!(decode(&[(0xC2, &hello)]), Ok(vec![Message::Binary("Hello".into())]));
    assert_eq!(
        decode(&[(0x81, b"Hello"), (0xC1, &hello), (0x81, b"Hello")]),
        Ok(vec![text(), text(), text()])
    );
    // RSV1 stands on the first fragment alone; fragments may cut anywhere.
    assert_eq!(
        decode(&[(0x41, &hello[..1]), (0x89, b"?"), (0x00, b""), (0x80, &hello[1..])]),
        Ok(vec![Message::Ping("?".into()), text()])
    );
    for wrong in [
        &[(0xC1, &hello[..]), (0xC0, &[])][..],
        &[(0x41, &hello[..]), (0xC0, &[])],
        &[(0xC9, b"")],
        &[(0xC8, b"")],
    ] {
        assert_eq!(decode(wrong).unwrap_err().code(), 1002, "{wrong:x?}");
    }
    for reserved in [0xE1, 0xD1, 0xA1, 0x91] {
        assert_eq!(decode(&[(reserved, &hello)]).unwrap_err().code(), 1002);
    }
    assert_eq!(decode(&[(0xC1, &[0x07])]), Err(Violation::NotDeflate));
    // A stored block of bytes that are not UTF-8, and one with half a character.
    for bytes in [[0xC3, 0x28], [b'x', 0xC3]] {
        let stored = [&[0, 2, 0, 0xFD, 0xFF], &bytes[..], &[0]].concat();
        assert_eq!(decode(&[(0xC1, &stored)]), Err(Violation::NotUtf8));
        assert_eq!(decode(&[(0xC2, &stored)]).unwrap().len(), 1);
    }
}

#[test]
fn the_limit_counts_what_is_decompressed() {
    let frame = compressed_text_frame(&[b'x'; 1000]).unwrap();
    let frame = client_frame(0xC1, &frame[2..], [1; 4]);
    assert_eq!(
        decode_all(&mut Decoder::new(1000, true), &frame).unwrap(),
        [Message::Text("x".repeat(1000).into())]
    );
    assert_eq!(decode_all(&mut Decoder::new(999, true), &frame), Err(Violation::TooBig(999)));
    // What DEFLATE could only make longer is within the limit still.
    let stored = [&[0, 100, 0, !100, 0xFF][..], &[b'x'; 100], &[0]].concat();
    let frame = client_frame(0xC1, &stored, [1; 4]);
    assert_eq!(decode_all(&mut Decoder::new(100, true), &frame).unwrap().len(), 1);
    assert_eq!(
        Decoder::new(100, true).decode(&mut &[0xC1, 0xFE, 1, 0, 0, 0, 0, 0][..]),
        Err(Violation::TooBig(100))
    );
}

#[test]
fn the_limit_counts_all_fragments() {
    let mut decoder = Decoder::new(10, false);
    assert_eq!(decode_all(&mut decoder, &text("0123456789")).unwrap().len(), 1);
    let parts = [client_frame(0x01, b"012345", [0; 4]), client_frame(0x80, b"67890", [0; 4])].concat();
    assert_eq!(decode_all(&mut decoder, &parts).unwrap_err(), Violation::TooBig(10));
    // Refused by its header, before the payload comes.
    assert_eq!(
        Decoder::new(10, false).decode(&mut &[0x82, 0x8B, 0, 0, 0, 0][..]),
        Err(Violation::TooBig(10))
    );
    let huge = [0x81, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0];
    assert_eq!(violation(&huge), 1009);
}

#[test]
fn close_codes() {
    let closed = |code: u16, reason: &[u8]| {
        decode(&client_frame(0x88, &[&code.to_be_bytes()[..], reason].concat(), [3, 1, 4, 1]))
    };
    for code in [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4999] {
        assert_eq!(closed(code, b"bye").unwrap(), [Message::Close(Some(code))]);
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
        assert_eq!(closed(code, b"").unwrap_err().code(), 1002);
    }
    assert_eq!(closed(1000, &[0xFF]).unwrap_err(), Violation::NotUtf8);
    assert_eq!(violation(&client_frame(0x88, &[3], [0; 4])), 1002);
}

/// A message in fragments, with pings between them.
fn messages() -> impl Strategy<Value = Vec<(Vec<String>, [u8; 4])>> {
    proptest::collection::vec((proptest::collection::vec(".{0,40}", 1..4), any::<[u8; 4]>()), 0..6)
}

proptest! {
    #[test]
    fn every_cut_decodes_the_same(messages in messages(), cuts in proptest::collection::vec(1_usize..40, 1..20)) {
        let mut input = Vec::new();
        let mut expected = Vec::new();
        for (fragments, mask) in &messages {
            for (at, fragment) in fragments.iter().enumerate() {
                let fin = if at + 1 == fragments.len() { FIN } else { 0 };
                let opcode = u8::from(at == 0);
                if at > 0 {
                    input.extend(client_frame(0x89, fragment.as_bytes().get(..20).unwrap_or_default(), *mask));
                    expected.push(Message::Ping(Bytes::copy_from_slice(fragment.as_bytes().get(..20).unwrap_or_default())));
                }
                input.extend(client_frame(fin | opcode, fragment.as_bytes(), *mask));
            }
            expected.push(Message::Text(fragments.concat().into()));
        }
        let mut decoder = Decoder::new(10_000, false);
        let mut found = Vec::new();
        let mut rest = &input[..];
        for cut in cuts.iter().cycle() {
            let (part, tail) = rest.split_at(rest.len().min(*cut));
            found.extend(decode_all(&mut decoder, part).unwrap());
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(found, expected);
        prop_assert_eq!(decoder.held(), 0);
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(input in proptest::collection::vec(any::<u8>(), 0..300), inflates: bool) {
        let mut decoder = Decoder::new(100, inflates);
        let mut rest = &input[..];
        while let Ok(Some(_)) = decoder.decode(&mut rest) {}
        prop_assert!(decoder.held() <= 512);
    }
}
