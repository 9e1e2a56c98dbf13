//! What some bytes are, told from the bytes alone: labels and media types can say anything.

/// What a module's bytes turned out to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Detected {
    /// A WebAssembly component.
    Component,
    /// A WebAssembly core module.
    CoreModule,
    /// WebAssembly of a version or layer that is neither of the two.
    UnknownWasm,
    /// Code for a machine, of this format.
    NativeCode(&'static str),
    /// Something packed or archived, in this format.
    Archive(&'static str),
    /// Nothing at all.
    Empty,
    /// Text, such as an error page.
    Text,
    /// None of the above.
    Other,
}

const WASM_MAGIC: &[u8] = b"\0asm";

/// Beginnings of native executables and libraries.
const NATIVE: [(&[u8], &str); 7] = [
    (b"\x7fELF", "ELF"),
    (b"MZ", "PE"),
    (&[0xfe, 0xed, 0xfa, 0xce], "Mach-O"),
    (&[0xfe, 0xed, 0xfa, 0xcf], "Mach-O"),
    (&[0xce, 0xfa, 0xed, 0xfe], "Mach-O"),
    (&[0xcf, 0xfa, 0xed, 0xfe], "Mach-O"),
    (&[0xca, 0xfe, 0xba, 0xbe], "Mach-O or Java"),
];

/// Beginnings of packed files.
const ARCHIVES: [(&[u8], &str); 5] = [
    (&[0x1f, 0x8b], "gzip"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
    (b"PK\x03\x04", "zip"),
    (b"BZh", "bzip2"),
    (b"!<arch>\n", "ar"),
];

/// Where the mark of a tar archive stands.
const TAR_MARK_OFFSET: usize = 257;
const TAR_MARK: &[u8] = b"ustar";

/// How much of a file is looked at to call it text.
const TEXT_SAMPLE_BYTES: usize = 512;

/// Says what `bytes` are.
#[must_use]
pub fn detect(bytes: &[u8]) -> Detected {
    if bytes.is_empty() {
        return Detected::Empty;
    }
    if let Some(header) = bytes.strip_prefix(WASM_MAGIC) {
        // The version and layer fields: component-model binary format, "preamble".
        return match header.get(..4) {
            Some([1, 0, 0, 0]) => Detected::CoreModule,
            Some([_, 0, 1, 0]) => Detected::Component,
            _ => Detected::UnknownWasm,
        };
    }
    let begins = |marks: &[(&[u8], &'static str)]| {
        marks
            .iter()
            .find(|(mark, _)| bytes.starts_with(mark))
            .map(|(_, name)| *name)
    };
    if let Some(format) = begins(&NATIVE) {
        return Detected::NativeCode(format);
    }
    if let Some(format) = begins(&ARCHIVES) {
        return Detected::Archive(format);
    }
    if bytes
        .get(TAR_MARK_OFFSET..)
        .is_some_and(|rest| rest.starts_with(TAR_MARK))
    {
        return Detected::Archive("tar");
    }
    if is_text(&bytes[..bytes.len().min(TEXT_SAMPLE_BYTES)]) {
        return Detected::Text;
    }
    Detected::Other
}

fn is_text(sample: &[u8]) -> bool {
    let text = match std::str::from_utf8(sample) {
        Ok(text) => text,
        // A character that the sample cuts in two.
        Err(error) if error.error_len().is_none() => {
            let (valid, _) = sample.split_at(error.valid_up_to());
            std::str::from_utf8(valid).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text
        .chars()
        .any(|character| character.is_control() && !character.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_bytes_are() {
        let mut tar = vec![0; 600];
        tar[..5].copy_from_slice(b"a.txt");
        tar[257..262].copy_from_slice(b"ustar");
        let cases: [(&[u8], Detected); 14] = [
            (b"", Detected::Empty),
            (b"\0asm\x01\0\0\0", Detected::CoreModule),
            (b"\0asm\x0d\0\x01\0rest", Detected::Component),
            (b"\0asm\x02\0\0\0", Detected::UnknownWasm),
            (b"\0asm", Detected::UnknownWasm),
            (b"\x7fELF\x02\x01", Detected::NativeCode("ELF")),
            (b"MZ\x90", Detected::NativeCode("PE")),
            (&[0xcf, 0xfa, 0xed, 0xfe, 7], Detected::NativeCode("Mach-O")),
            (&[0x1f, 0x8b, 8], Detected::Archive("gzip")),
            (&tar, Detected::Archive("tar")),
            (b"<html>not found</html>\n", Detected::Text),
            ("(module) \u{e4}".as_bytes(), Detected::Text),
            (&[0, 1, 2, 3], Detected::Other),
            (&[0xff, 0xfe, 0x41], Detected::Other),
        ];
        for (bytes, expected) in cases {
            assert_eq!(detect(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn text_may_be_cut_within_a_character() {
        let mut text = "a".repeat(TEXT_SAMPLE_BYTES - 1);
        text.push('ä');
        assert_eq!(detect(text.as_bytes()), Detected::Text);
    }
}
