//! Replies of two memcached-speaking servers made comparable: what must differ is renamed, everything else stays.

use std::collections::HashMap;

/// Seconds that one comparison of times left to live may take.
const TIME_GRAIN_SECONDS: u64 = 1000;

/// Renames what one server answers. Versions become the order in which they were first seen for their key, so that equal
/// ones stay equal (two keys may have the same version; without a key in the answer nothing is compared). Times left to
/// live lose their last digits.
#[derive(Default)]
pub struct Renaming {
    seen: HashMap<Vec<u8>, Vec<u64>>,
}

impl Renaming {
    /// The replies in `answer`, renamed. Values are passed over by their length, so they may hold anything.
    pub fn apply(&mut self, answer: &[u8]) -> Vec<u8> {
        let mut renamed = Vec::new();
        let mut rest = answer;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end + 1);
            let text = line.strip_suffix(b"\r\n").unwrap_or(line);
            let words: Vec<&[u8]> = text.split(|byte| *byte == b' ').collect();
            let length = match words.first() {
                Some(&b"VALUE") => {
                    words.get(3).and_then(|word| number(word)).map(|length| length as usize + 2)
                }
                Some(&b"VA") => words.get(1).and_then(|word| number(word)).map(|length| length as usize + 2),
                _ => Some(0),
            };
            renamed.extend_from_slice(&self.line(&words).join(&b' '));
            renamed.extend_from_slice(&line[text.len()..]);
            let length = length.unwrap_or(0).min(after.len());
            let (value, after) = after.split_at(length);
            renamed.extend_from_slice(value);
            rest = after;
        }
        renamed.extend_from_slice(rest);
        renamed
    }

    /// The version that this server last showed for `key`, or one that none ever has.
    pub fn version_of(&self, key: &[u8]) -> u64 {
        self.seen.get(key).and_then(|seen| seen.last()).copied().unwrap_or(u64::MAX / 2)
    }

    fn line(&mut self, words: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut renamed: Vec<Vec<u8>> = words.iter().map(|word| word.to_vec()).collect();
        match words {
            [b"VALUE", key, _, _, version] => {
                if let Some(version) = number(version) {
                    renamed[4] = self.rename(Some(key), version).into_bytes();
                }
            }
            [b"VA" | b"HD" | b"EX" | b"NS" | b"NF", flags @ ..] => {
                let key = flags.iter().find_map(|flag| flag.strip_prefix(b"k")).map(<[u8]>::to_vec);
                for (place, flag) in renamed.iter_mut().zip(words).skip(1) {
                    *place = self.flag(flag, key.as_deref());
                }
            }
            // For people, and partly about memcached's own memory.
            [b"ME", ..] => renamed.truncate(2),
            [b"VERSION", ..] => renamed.truncate(1),
            _ => {}
        }
        renamed
    }

    fn flag(&mut self, flag: &[u8], key: Option<&[u8]>) -> Vec<u8> {
        match flag.split_first() {
            Some((b'c', digits)) if *digits != *b"0" => match number(digits) {
                Some(version) => format!("c{}", self.rename(key, version)).into_bytes(),
                None => flag.to_vec(),
            },
            Some((b't', digits)) => match number(digits) {
                Some(seconds) => format!("t~{}", seconds / TIME_GRAIN_SECONDS).into_bytes(),
                None => flag.to_vec(),
            },
            Some((b'l', digits)) if number(digits).is_some() => b"l~".to_vec(),
            _ => flag.to_vec(),
        }
    }

    fn rename(&mut self, key: Option<&[u8]>, version: u64) -> String {
        let Some(key) = key else { return "#?".into() };
        let seen = self.seen.entry(key.to_vec()).or_default();
        let place = seen.iter().position(|seen| *seen == version).unwrap_or_else(|| {
            seen.push(version);
            seen.len() - 1
        });
        format!("#{place}")
    }
}

fn number(word: &[u8]) -> Option<u64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_versions_stay_equal_and_values_are_left_alone() {
        let answer =
            b"VALUE a 0 9 77\r\nHD c77\r\nx\r\nEND\r\nHD c78 t1400 ka Oc77\r\nHD kb c78\r\nHD c77\r\n";
        let renamed = Renaming::default().apply(answer);
        let expected =
            b"VALUE a 0 9 #0\r\nHD c77\r\nx\r\nEND\r\nHD c#1 t~1 ka Oc77\r\nHD kb c#0\r\nHD c#?\r\n";
        assert_eq!(renamed, expected, "{}", renamed.escape_ascii());
    }
}
