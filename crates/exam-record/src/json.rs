//! A JSON checker for the one path that cannot afford a parser: `exam_stream_put`.
//!
//! It builds nothing. It answers whether a text is one JSON value (RFC 8259), and where the
//! members of its outermost object lie, so that the fold can pass answers on as the bytes they
//! came in. It accepts what `serde_json`'s `IgnoredAny` accepts, lone surrogate escapes and
//! numbers of any size included, but no nesting deeper than [`MAX_DEPTH`]: everything behind us
//! reads our lines with parsers that have such a limit.

use std::borrow::Cow;

/// The greatest record, in bytes.
pub const MAX_RECORD: usize = 256 * 1024;

/// The deepest nesting of arrays and objects: what `serde_json` reads by default.
pub const MAX_DEPTH: u32 = 127;

/// Why a text is not a record line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotJson {
    #[error("the record is empty")]
    Empty,
    #[error("the record has {0} bytes; at most {MAX_RECORD} are taken")]
    TooLong(usize),
    #[error("the record is not UTF-8 at byte {0}")]
    NotUtf8(usize),
    #[error("the record is not one JSON value: {what} at byte {at}")]
    Syntax { what: &'static str, at: usize },
    #[error("the record nests deeper than {MAX_DEPTH} levels at byte {0}")]
    TooDeep(usize),
}

/// Checks that `text` is exactly one JSON value and makes one line of it: space around it is
/// left off, a raw newline between tokens becomes a space. Nothing within a value is changed.
pub fn validate_json_line(text: &[u8]) -> Result<Cow<'_, [u8]>, NotJson> {
    one_line(text, |_, _| {})
}

/// [`validate_json_line`] and [`members`] in one reading.
pub(crate) fn one_line<'a>(
    text: &'a [u8],
    member: impl FnMut(&'a [u8], &'a [u8]),
) -> Result<Cow<'a, [u8]>, NotJson> {
    if text.len() > MAX_RECORD {
        return Err(NotJson::TooLong(text.len()));
    }
    if text.starts_with("\u{feff}".as_bytes()) {
        return Err(NotJson::Syntax {
            what: "a byte order mark, which JSON must not begin with,",
            at: 0,
        });
    }
    let scanned = scan(text, member)?;
    let value = &text[scanned.start..scanned.end];
    if !scanned.newline {
        return Ok(Cow::Borrowed(value));
    }
    // A raw newline inside a string is a syntax error, so every one left is between tokens.
    let space = |&b: &u8| if b == b'\n' || b == b'\r' { b' ' } else { b };
    Ok(Cow::Owned(value.iter().map(space).collect()))
}

/// Calls `member` with the key and the value of each member of the outermost object, as they
/// stand in the text: the key still escaped and without its quotes. A text that is no object has
/// no members.
pub fn members<'a>(text: &'a [u8], member: impl FnMut(&'a [u8], &'a [u8])) -> Result<(), NotJson> {
    scan(text, member).map(drop)
}

/// The bytes a JSON string stands for; `raw` is with or without its quotes. `None` if it is not
/// one. A lone surrogate escape, which no UTF-8 has, gives the three bytes of its code point.
pub fn string_bytes(raw: &[u8]) -> Option<Cow<'_, [u8]>> {
    let inner = match raw {
        [b'"', inner @ .., b'"'] => inner,
        inner => inner,
    };
    let Some(first) = memchr::memchr(b'\\', inner) else {
        return Some(Cow::Borrowed(inner));
    };
    let mut out = Vec::with_capacity(inner.len());
    out.extend_from_slice(&inner[..first]);
    let mut rest = &inner[first..];
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let (&escape, tail) = rest.split_first()?;
        rest = tail;
        let plain = match escape {
            b'"' | b'\\' | b'/' => escape,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let mut code = u32::from(hex4(rest)?);
                rest = &rest[4..];
                if (0xD800..0xDC00).contains(&code)
                    && let Some(low) = rest.strip_prefix(b"\\u").and_then(hex4)
                    && (0xDC00..0xE000).contains(&low)
                {
                    code = 0x10000 + ((code - 0xD800) << 10) + (u32::from(low) - 0xDC00);
                    rest = &rest[6..];
                }
                match char::from_u32(code) {
                    Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                    None => out.extend_from_slice(&[
                        0xE0 | (code >> 12) as u8,
                        0x80 | (code >> 6 & 0x3F) as u8,
                        0x80 | (code & 0x3F) as u8,
                    ]),
                }
                continue;
            }
            _ => return None,
        };
        out.push(plain);
    }
    Some(Cow::Owned(out))
}

/// JSON with U+FFFD for every escape of a lone surrogate. JSON allows such an escape, and so does
/// the stream; but no Unicode text has one, and readers such as PHP's refuse the whole document.
pub fn without_lone_surrogates(json: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Cow::Borrowed(json);
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', json.get(at..).unwrap_or_default()) {
        at += found;
        let code = |at: usize| json.get(at..)?.strip_prefix(b"\\u").and_then(hex4);
        at += match code(at) {
            Some(0xD800..0xDC00) if matches!(code(at + 6), Some(0xDC00..0xE000)) => 12,
            Some(0xD800..0xE000) => {
                out.to_mut()[at + 2..at + 6].copy_from_slice(b"fffd");
                6
            }
            _ => 2,
        };
    }
    out
}

fn hex4(text: &[u8]) -> Option<u16> {
    let digits = text.get(..4)?;
    let mut code = 0;
    for &digit in digits {
        code = code << 4 | (digit as char).to_digit(16)? as u16;
    }
    Some(code)
}

struct Scanned {
    start: usize,
    end: usize,
    newline: bool,
}

fn scan<'a>(
    text: &'a [u8],
    mut member: impl FnMut(&'a [u8], &'a [u8]),
) -> Result<Scanned, NotJson> {
    if let Err(e) = std::str::from_utf8(text) {
        return Err(NotJson::NotUtf8(e.valid_up_to()));
    }
    let mut s = Scanner {
        text,
        at: 0,
        outer: 0,
        newline: false,
    };
    if s.token() == 0 && s.at == text.len() {
        return Err(NotJson::Empty);
    }
    s.newline = false; // space before the value is left off
    let start = s.at;
    if s.peek() == b'{' {
        s.at += 1;
        s.outer = 1;
        if s.token() == b'}' {
            s.at += 1;
        } else {
            loop {
                let key = s.key()?;
                let from = s.at;
                s.value()?;
                member(key, &text[from..s.at]);
                match s.token() {
                    b',' => {
                        s.at += 1;
                        s.token();
                    }
                    b'}' => {
                        s.at += 1;
                        break;
                    }
                    _ => return Err(s.wrong("expected `,` or `}`")),
                }
            }
        }
    } else {
        s.value()?;
    }
    let (end, newline) = (s.at, s.newline);
    s.token();
    if s.at != text.len() {
        return Err(s.wrong("more after the value"));
    }
    Ok(Scanned {
        start,
        end,
        newline,
    })
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    /// Levels open around the value that [`Scanner::nested`] reads.
    outer: u32,
    newline: bool,
}

impl<'a> Scanner<'a> {
    fn wrong(&self, what: &'static str) -> NotJson {
        NotJson::Syntax { what, at: self.at }
    }

    /// The byte under the cursor; 0, which no valid text holds outside its tokens, at the end.
    #[inline(always)]
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    /// Moves to the next byte that is not space and shows it.
    #[inline(always)]
    fn token(&mut self) -> u8 {
        match self.peek() {
            byte @ (b'!'..) => byte,
            _ => self.spaced_token(),
        }
    }

    fn spaced_token(&mut self) -> u8 {
        loop {
            match self.peek() {
                b' ' | b'\t' => {}
                b'\n' | b'\r' => self.newline = true,
                byte => return byte,
            }
            self.at += 1;
        }
    }

    /// A key and its colon; leaves the cursor on the value.
    #[inline(always)]
    fn key(&mut self) -> Result<&'a [u8], NotJson> {
        if self.peek() != b'"' {
            return Err(self.wrong("expected a key"));
        }
        let from = self.at + 1;
        self.string()?;
        let key = &self.text[from..self.at - 1];
        if self.token() != b':' {
            return Err(self.wrong("expected `:`"));
        }
        self.at += 1;
        self.token();
        Ok(key)
    }

    /// One value, whole; the cursor is on its first byte.
    #[inline(always)]
    fn value(&mut self) -> Result<(), NotJson> {
        match self.peek() {
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            b'{' | b'[' => self.nested(),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => Err(self.wrong("expected a value")),
        }
    }

    /// An array or object with all it holds. Which of the two each open level is, is one bit.
    fn nested(&mut self) -> Result<(), NotJson> {
        let (mut objects, mut depth) = (0u128, 0);
        loop {
            // The cursor is on the first byte of a value.
            match self.peek() {
                open @ (b'{' | b'[') => {
                    if depth + self.outer == MAX_DEPTH {
                        return Err(NotJson::TooDeep(self.at));
                    }
                    let object = open == b'{';
                    objects = objects << 1 | u128::from(object);
                    depth += 1;
                    self.at += 1;
                    let next = self.token();
                    if next != if object { b'}' } else { b']' } {
                        if object {
                            self.key()?;
                        }
                        continue;
                    }
                }
                _ => self.value()?,
            }
            // A value has ended, or the cursor is on the bracket of an empty one.
            loop {
                match (self.token(), objects & 1) {
                    (b'}', 1) | (b']', 0) => {
                        self.at += 1;
                        objects >>= 1;
                        depth -= 1;
                        if depth == 0 {
                            return Ok(());
                        }
                    }
                    (b',', object) => {
                        self.at += 1;
                        self.token();
                        if object == 1 {
                            self.key()?;
                        }
                        break;
                    }
                    (_, 1) => return Err(self.wrong("expected `,` or `}`")),
                    _ => return Err(self.wrong("expected `,` or `]`")),
                }
            }
        }
    }

    #[inline(always)]
    fn string(&mut self) -> Result<(), NotJson> {
        self.at += 1;
        loop {
            // Eight bytes at a time: the high bit of each byte that is `"`, `\` or a control.
            // A borrow may mark a byte too much, but only above one rightly marked.
            while let Some(chunk) = self.text.get(self.at..self.at + 8) {
                let x = u64::from_le_bytes(chunk.try_into().unwrap_or_default());
                let zero = |y: u64| y.wrapping_sub(ONES) & !y;
                let control = x.wrapping_sub(ONES * 0x20) & !x;
                let stop = (zero(x ^ (ONES * 0x22)) | zero(x ^ (ONES * 0x5C)) | control) & HIGH;
                if stop != 0 {
                    self.at += stop.trailing_zeros() as usize / 8;
                    break;
                }
                self.at += 8;
            }
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => self.escape()?,
                0..0x20 if self.at < self.text.len() => {
                    return Err(self.wrong("a control character in a string"));
                }
                _ if self.at < self.text.len() => self.at += 1,
                _ => return Err(self.wrong("a string without end")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), NotJson> {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') if hex4(&self.text[self.at + 2..]).is_some() => self.at += 6,
            _ => return Err(self.wrong("a wrong escape")),
        }
        Ok(())
    }

    #[inline(always)]
    fn digits(&mut self) -> Result<(), NotJson> {
        let from = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        if self.at == from {
            return Err(self.wrong("expected a digit"));
        }
        Ok(())
    }

    #[inline(always)]
    fn number(&mut self) -> Result<(), NotJson> {
        if self.peek() == b'-' {
            self.at += 1;
        }
        if self.peek() == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Result<(), NotJson> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.wrong("expected a value"));
        }
        self.at += word.len();
        Ok(())
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;
