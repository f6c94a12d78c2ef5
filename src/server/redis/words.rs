//! What went wrong with a connection, in words for people.
//!
//! fred passes errors of the operating system and of rustls on as text in Rust's `Debug` form, so that form is read here.

use std::io;

/// An error of fred without its `Debug` form. Any other text is returned as it is.
pub(super) fn plain(details: &str) -> String {
    // The innermost error that is quoted has the words.
    if let Some(text) = details.strip_prefix("Custom {").and_then(|rest| after(rest, "error: ")) {
        let text = text.strip_suffix(" }").unwrap_or(text);
        return match quoted(text) {
            Some(words) => plain(&words),
            None => tls(text).unwrap_or_else(|| spaced(name(text))),
        };
    }
    if let Some(rest) = details.strip_prefix("Os {") {
        let code = after(rest, "code: ").and_then(|rest| rest.split(',').next()?.parse().ok());
        let message = || after(rest, "message: ").and_then(quoted);
        return code
            .map(|code| io::Error::from_raw_os_error(code).to_string())
            .or_else(message)
            .unwrap_or_else(|| details.to_owned());
    }
    if let Some(message) = (details.strip_prefix("Error {")).and_then(|rest| quoted(after(rest, "message: ")?)) {
        return message;
    }
    if let Some(kind) = details.strip_prefix("Kind(").and_then(|rest| rest.strip_suffix(')')) {
        return spaced(kind);
    }
    tls(details).unwrap_or_else(|| details.to_owned())
}

/// An error of rustls that is given in its `Debug` form, if it is one.
pub(super) fn tls(error: &str) -> Option<String> {
    let inner = |name: &str| error.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
    if let Some(problem) = inner("InvalidCertificate") {
        return Some(certificate(problem));
    }
    if let Some(alert) = inner("AlertReceived") {
        return Some(match alert {
            "CertificateRequired" => "the server asks for a client certificate".into(),
            "UnknownCA" => "the server does not trust the authority of the client certificate".into(),
            "HandshakeFailure" | "ProtocolVersion" => "the server accepts none of our TLS versions and ciphers".into(),
            alert => format!("the server ended the handshake: {}", spaced(name(alert))),
        });
    }
    if inner("InvalidMessage").is_some() {
        return Some("the server does not speak TLS there, or breaks its rules".into());
    }
    if let Some(problem) = inner("PeerIncompatible") {
        return Some(format!(
            "the server has no TLS version or cipher in common with us: {}",
            spaced(name(problem))
        ));
    }
    if let Some(problem) = inner("PeerMisbehaved") {
        return Some(format!("the server breaks the rules of TLS: {}", spaced(name(problem))));
    }
    if inner("InconsistentKeys").is_some() {
        return Some("the private key is not that of the certificate".into());
    }
    if let Some(problem) = inner("General") {
        return Some(quoted(problem).unwrap_or_else(|| spaced(name(problem))));
    }
    match name(error) {
        "NoCertificatesPresented" => Some("the server has no certificate".into()),
        "InvalidDnsNameError" => Some("the host is no name that a certificate can have".into()),
        "InappropriateMessage" | "InappropriateHandshakeMessage" | "DecryptError" | "EncryptError" => {
            Some(format!("the server breaks the rules of TLS: {}", spaced(name(error))))
        }
        _ if error == "tls handshake eof" => Some("the server hung up during the handshake".into()),
        _ => None,
    }
}

/// What is wrong with the server's certificate.
fn certificate(problem: &str) -> String {
    match name(problem) {
        "UnknownIssuer" => "the server's certificate is signed by no authority that is trusted here".into(),
        "Expired" | "ExpiredContext" => "the server's certificate has expired".into(),
        "NotValidYet" | "NotValidYetContext" => "the server's certificate is not valid yet".into(),
        "Revoked" => "the server's certificate was revoked".into(),
        "BadSignature" => "the server's certificate is not signed by the authority that is trusted here".into(),
        "BadEncoding" => "the certificate cannot be read".into(),
        "InvalidPurpose" | "InvalidPurposeContext" => {
            "the server's certificate is not one for servers (extended key usage)".into()
        }
        "NotValidForName" | "NotValidForNameContext" => other_name(problem),
        "ApplicationVerificationFailure" => "the server's certificate is not the one that is expected".into(),
        _ if problem.contains("UnsupportedCertVersion") => {
            "the certificate is of X.509 version 1, and version 3 is needed".into()
        }
        _ if problem.contains("CaUsedAsEndEntity") => {
            "the server shows the certificate of an authority (CA:TRUE), which has to be given as the one that is trusted".into()
        }
        "Other" => {
            let reason = problem.trim_start_matches("Other(").trim_start_matches("OtherError(");
            format!("the certificate is not accepted: {}", spaced(name(reason)))
        }
        other => format!("the server's certificate is not accepted: {}", spaced(other)),
    }
}

/// Which names the certificate has, in place of the one that was expected.
fn other_name(problem: &str) -> String {
    let (expected, presented) = problem.split_once("presented: ").unwrap_or((problem, ""));
    let expected = (after(expected, "expected: ")).map(|name| host(name.trim_end_matches([',', ' '])));
    let presented: Vec<String> = (presented.trim_start_matches('[').split("\", \""))
        .map(|name| host(&name.trim_end_matches([' ', '}', ']']).replace('\\', "")))
        .filter(|name| !name.is_empty())
        .collect();
    let expected = expected.map_or_else(|| "this host".into(), |name| format!("`{name}`"));
    if presented.is_empty() {
        format!("the server's certificate names no host (it has no subject alternative name), so not {expected} either")
    } else {
        format!(
            "the server's certificate is for {}, not for {expected}",
            list(&presented)
        )
    }
}

/// The host in `DnsName("host")` or `IpAddress(host)`. rustls puts an address in the form of either Rust or a certificate.
fn host(name: &str) -> String {
    let name = name.trim_matches('"');
    let inner = name
        .split_once('(')
        .map_or(name, |(_, inner)| inner)
        .trim_end_matches(')');
    // `IpAddress(V4(Ipv4Addr([127, 0, 0, 1])))`
    if let Some((family, octets)) = inner.split_once("Addr([") {
        let octets: Vec<u8> = (octets.trim_end_matches([')', ']']).split(", "))
            .filter_map(|octet| octet.parse().ok())
            .collect();
        if let Ok(octets) = <[u8; 4]>::try_from(&octets[..]) {
            return std::net::Ipv4Addr::from(octets).to_string();
        }
        if let Ok(octets) = <[u8; 16]>::try_from(&octets[..]) {
            return std::net::Ipv6Addr::from(octets).to_string();
        }
        return family.to_owned();
    }
    inner.trim_matches('"').to_owned()
}

fn list(names: &[String]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

/// What follows a mark.
fn after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.split_once(mark).map(|(_, rest)| rest)
}

/// The text of a string in quotes, at the start.
fn quoted(text: &str) -> Option<String> {
    let mut words = String::new();
    let mut chars = text.strip_prefix('"')?.chars();
    loop {
        match chars.next()? {
            '"' => return Some(words),
            '\\' => words.push(chars.next().map(|c| if c == 'n' { ' ' } else { c })?),
            c => words.push(c),
        }
    }
}

/// The name with which a `Debug` form begins.
fn name(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
    &text[..end]
}

/// `BrokenPipe` as `broken pipe`.
fn spaced(name: &str) -> String {
    let mut words = String::new();
    let mut was_lower = false;
    for c in name.chars() {
        if c.is_uppercase() && was_lower {
            words.push(' ');
        }
        was_lower = c.is_lowercase();
        words.extend(c.to_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_operating_system_are_told_in_its_words() {
        let error = |error: io::Error| plain(&format!("{error:?}"));
        assert_eq!(error(io::Error::from_raw_os_error(32)), "Broken pipe (os error 32)");
        assert_eq!(error(io::ErrorKind::ConnectionReset.into()), "connection reset");
        let unknown = "failed to lookup address information: Name or service not known";
        assert_eq!(error(io::Error::other(unknown)), unknown);
        assert_eq!(error(io::Error::other("a \"b\" \\")), "a \"b\" \\");
        assert_eq!(
            plain("Os { code: x, kind: BrokenPipe, message: \"Broken pipe\" }"),
            "Broken pipe"
        );
        let of_std = "Error { kind: InvalidInput, message: \"invalid socket address\" }";
        assert_eq!(plain(of_std), "invalid socket address");
    }

    #[test]
    fn a_servers_own_words_stay_as_they_are() {
        for words in [
            "ERR unknown command `HELLO`",
            "WRONGPASS invalid",
            "",
            "Custom {",
            "Os {",
        ] {
            assert_eq!(plain(words), words);
        }
    }

    #[cfg(feature = "tls")]
    mod of_tls {
        use super::*;
        use fred::rustls::{AlertDescription, CertificateError, Error, InvalidMessage, pki_types::ServerName};

        fn words(error: Error) -> String {
            let direct = tls(&format!("{error:?}")).expect("it is about TLS");
            let within = plain(&format!("{:?}", io::Error::new(io::ErrorKind::InvalidData, error)));
            assert_eq!(direct, within);
            direct
        }

        fn other_name(expected: &'static str, presented: &[&str]) -> String {
            words(Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                expected: ServerName::try_from(expected).unwrap(),
                presented: presented.iter().map(ToString::to_string).collect(),
            }))
        }

        #[test]
        fn a_certificate_for_another_name_says_for_which() {
            assert_eq!(
                other_name("redis.test", &["DnsName(\"localhost\")", "IpAddress(127.0.0.1)"]),
                "the server's certificate is for `localhost` and `127.0.0.1`, not for `redis.test`"
            );
            assert_eq!(
                other_name("10.0.0.1", &["DnsName(\"a\")"]),
                "the server's certificate is for `a`, not for `10.0.0.1`"
            );
            assert_eq!(
                other_name("::1", &["DnsName(\"a\")"]),
                "the server's certificate is for `a`, not for `::1`"
            );
            assert_eq!(
                other_name("a", &[]),
                "the server's certificate names no host (it has no subject alternative name), so not `a` either"
            );
        }

        #[test]
        fn no_error_of_tls_is_told_in_a_debug_form() {
            for error in [
                Error::InvalidCertificate(CertificateError::UnknownIssuer),
                Error::InvalidCertificate(CertificateError::Expired),
                Error::InvalidCertificate(CertificateError::UnhandledCriticalExtension),
                Error::AlertReceived(AlertDescription::CertificateRequired),
                Error::AlertReceived(AlertDescription::BadCertificate),
                Error::AlertReceived(AlertDescription::Unknown(9)),
                Error::InvalidMessage(InvalidMessage::InvalidContentType),
                Error::NoCertificatesPresented,
                Error::DecryptError,
                Error::General("odd".into()),
            ] {
                let words = words(error);
                assert!(
                    !words.contains(['(', '{', '"']) && words.contains(' ') || words == "odd",
                    "{words}"
                );
            }
        }
    }
}
