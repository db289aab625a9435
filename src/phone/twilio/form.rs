//! Form bodies of Twilio's webhooks, within limits that no real webhook comes near.

/// A voice webhook has about 2 KiB; the rest is room for new parameters.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// A voice webhook has about 30 fields.
pub const MAX_FIELDS: usize = 1_000;

/// Why a body is refused before anything else looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Over [`MAX_BODY_BYTES`].
    #[error("body is larger than {MAX_BODY_BYTES} bytes")]
    TooLarge,
    /// Over [`MAX_FIELDS`].
    #[error("body has more than {MAX_FIELDS} fields")]
    TooManyFields,
    /// Not `application/x-www-form-urlencoded`.
    #[error("content type is not application/x-www-form-urlencoded")]
    ContentType,
    /// Two fields `CallSid`: one signed request must mean one call.
    #[error("CallSid is given twice")]
    DuplicateCallSid,
}

impl FormError {
    /// The HTTP status to answer with.
    pub fn status(self) -> u16 {
        match self {
            Self::TooLarge => 413,
            Self::ContentType => 415,
            Self::TooManyFields | Self::DuplicateCallSid => 400,
        }
    }

    /// The reason for the rejection counter.
    pub fn reason(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::ContentType => "content_type",
            Self::TooManyFields => "too_many_fields",
            Self::DuplicateCallSid => "duplicate_call_sid",
        }
    }
}

/// The decoded fields of a request, every one of them: the signature covers those we do not know, too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form {
    pairs: Vec<(String, String)>,
}

impl Form {
    /// Reads a POST body. `content_type` is the header's value.
    ///
    /// # Errors
    /// When the body is of another type or outside the limits.
    pub fn from_body(content_type: Option<&str>, body: &[u8]) -> Result<Self, FormError> {
        let media_type = content_type
            .unwrap_or_default()
            .split(';')
            .next()
            .unwrap_or_default()
            .trim();
        if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(FormError::ContentType);
        }
        Self::decode(body)
    }

    /// Reads the query of a GET, without its `?`.
    ///
    /// # Errors
    /// When the query is outside the limits.
    pub fn from_query(query: &str) -> Result<Self, FormError> {
        Self::decode(query.as_bytes())
    }

    fn decode(text: &[u8]) -> Result<Self, FormError> {
        if text.len() > MAX_BODY_BYTES {
            return Err(FormError::TooLarge);
        }
        let mut pairs = Vec::new();
        for (name, value) in form_urlencoded::parse(text) {
            if pairs.len() == MAX_FIELDS {
                return Err(FormError::TooManyFields);
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        if pairs.iter().filter(|(name, _)| name == "CallSid").count() > 1 {
            return Err(FormError::DuplicateCallSid);
        }
        Ok(Self { pairs })
    }

    /// The first value of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(given, _)| given == name)
            .map(|(_, value)| value.as_str())
    }

    /// All fields in the order they came, for the signature.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Option<&str> = Some("application/x-www-form-urlencoded");

    #[test]
    fn fields_are_decoded_and_all_kept() {
        let form = Form::from_body(
            Some("Application/X-WWW-Form-Urlencoded; charset=UTF-8"),
            b"CallSid=CA1&From=%2B15550142&CallerCity=SAN+FRANCISCO&Empty=&Tag=b&Tag=a&Name=caf%C3%A9",
        )
        .unwrap();
        assert_eq!(form.get("From"), Some("+15550142"));
        assert_eq!(form.get("CallerCity"), Some("SAN FRANCISCO"));
        assert_eq!(form.get("Empty"), Some(""));
        assert_eq!(form.get("Tag"), Some("b"));
        assert_eq!(form.get("Name"), Some("café"));
        assert_eq!(form.get("callsid"), None);
        assert_eq!(form.pairs().len(), 7);
    }

    #[test]
    fn a_body_over_the_limit_is_413() {
        let error = Form::from_body(FORM, &vec![b'a'; MAX_BODY_BYTES + 1]).unwrap_err();
        assert_eq!((error, error.status()), (FormError::TooLarge, 413));
        assert!(Form::from_body(FORM, &vec![b'a'; MAX_BODY_BYTES]).is_ok());
    }

    #[test]
    fn too_many_fields_are_400() {
        let body = "a=1&".repeat(MAX_FIELDS + 1);
        let error = Form::from_body(FORM, body.as_bytes()).unwrap_err();
        assert_eq!((error, error.status()), (FormError::TooManyFields, 400));
        assert_eq!(
            Form::from_body(FORM, "a=1&".repeat(MAX_FIELDS).as_bytes())
                .unwrap()
                .pairs()
                .len(),
            MAX_FIELDS
        );
    }

    #[test]
    fn another_or_no_content_type_is_415() {
        for content_type in [
            None,
            Some(""),
            Some("application/json"),
            Some("multipart/form-data; boundary=x"),
        ] {
            let error = Form::from_body(content_type, b"CallSid=CA1").unwrap_err();
            assert_eq!((error, error.status()), (FormError::ContentType, 415));
        }
    }

    #[test]
    fn two_call_sids_are_400_even_when_equal_or_escaped() {
        for body in ["CallSid=CA1&CallSid=CA1", "CallSid=CA1&x=1&%43allSid=CA2"] {
            let error = Form::from_body(FORM, body.as_bytes()).unwrap_err();
            assert_eq!((error, error.status()), (FormError::DuplicateCallSid, 400));
        }
        assert_eq!(
            Form::from_query("CallSid=CA1&CallSid=CA2"),
            Err(FormError::DuplicateCallSid)
        );
    }
}
