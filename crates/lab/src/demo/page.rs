//! A product and the page that is rendered from it: the value that the cache keeps.

use std::fmt::Write;

/// One row of the products table.
#[derive(Clone, Debug)]
pub(super) struct Product {
    /// Its key in the trace.
    pub(super) id: u32,
    /// What it is called.
    pub(super) name: String,
    /// Its price.
    pub(super) price_cents: i64,
    /// Pieces left.
    pub(super) stock: i64,
    /// Raised by every change.
    pub(super) version: u64,
    /// When it was last changed.
    pub(super) updated_at_ms: i64,
}

const WORDS: [&str; 16] = [
    "sturdy",
    "light",
    "oiled",
    "walnut",
    "brass",
    "hand-made",
    "quiet",
    "washable",
    "folding",
    "copper",
    "wide",
    "glazed",
    "woven",
    "smooth",
    "northern",
    "slate",
];
const WORDS_MIN: usize = 50;
const WORDS_SPREAD: usize = 64;

impl Product {
    /// The page: half a kilobyte to one, the same for the same row. The first line says which product in which
    /// version it shows.
    pub(super) fn page(&self) -> Vec<u8> {
        let mut page = format!("<!-- product {} version {} -->\n", self.id, self.version);
        let seed = self.id as usize;
        // Writing to a string cannot fail.
        let _ = write!(
            page,
            "<h1>{}</h1><p class=\"price\">{}.{:02}</p><p>{} in stock</p><time>{}</time><p>",
            self.name,
            self.price_cents / 100,
            self.price_cents % 100,
            self.stock,
            self.updated_at_ms,
        );
        for place in 0..WORDS_MIN + seed % WORDS_SPREAD {
            let word = WORDS.get((seed / 7 + place * 5) % WORDS.len()).unwrap_or(&"plain");
            page.push_str(word);
            page.push(' ');
        }
        page.push_str("</p>\n");
        page.into_bytes()
    }
}

/// Which product in which version `page` shows; `None` if it is no page.
pub(super) fn shown(page: &[u8]) -> Option<(u32, u64)> {
    let line = std::str::from_utf8(page.split(|byte| *byte == b'\n').next()?).ok()?;
    let (id, version) = line.strip_prefix("<!-- product ")?.strip_suffix(" -->")?.split_once(" version ")?;
    Some((id.parse().ok()?, version.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(id: u32) -> Product {
        Product {
            id,
            name: format!("Product {id}"),
            price_cents: 1_205,
            stock: 17,
            version: 9,
            updated_at_ms: 1_700_000_000_000,
        }
    }

    #[test]
    fn a_page_says_which_product_in_which_version_it_shows() {
        assert_eq!(shown(&product(77).page()), Some((77, 9)));
        assert_eq!(shown(b"<h1>another page</h1>"), None);
        assert_eq!(shown(b""), None);
        assert_eq!(shown(b"\xff\xfe\n"), None);
    }

    #[test]
    fn a_page_has_half_a_kilobyte_to_one() {
        for id in [0, 1, 63, 64, 4_096_000_001, u32::MAX] {
            let bytes = product(id).page().len();
            assert!((400..=1_200).contains(&bytes), "{id}: {bytes}");
        }
    }
}
