//! Names from one spelling to another.

/// `NoSuchPost` as `no-such-post`, `HTTPError` as `http-error`.
pub(crate) fn kebab(camel: &str) -> String {
    let letters: Vec<char> = camel.chars().collect();
    let mut kebab = String::with_capacity(camel.len() + 4);
    for (n, letter) in letters.iter().enumerate() {
        let after_lower = n > 0 && !letters[n - 1].is_uppercase() && letters[n - 1] != '_';
        let before_lower =
            n > 0 && letters[n - 1].is_uppercase() && letters.get(n + 1).is_some_and(|l| l.is_lowercase());
        if *letter == '_' {
            kebab.push('-');
            continue;
        }
        if letter.is_uppercase() && (after_lower || before_lower) {
            kebab.push('-');
        }
        kebab.extend(letter.to_lowercase());
    }
    kebab
}

/// Whether this is a kebab-case name: lower case words and digits, joined by single dashes.
pub(crate) fn is_kebab(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.split('-').all(|word| {
            !word.is_empty()
                && word.bytes().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
        })
}

/// `of_post` as `OfPost`.
pub(crate) fn camel(snake: &str) -> String {
    let mut camel = String::with_capacity(snake.len());
    for word in snake.split('_') {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.extend(letters);
    }
    camel
}

#[cfg(test)]
mod tests;
