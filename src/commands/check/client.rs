//! The HTTP and WebSocket client of the check.

use std::sync::Arc;
use std::time::Duration;

use awc::{Client, Connector};

/// A client that trusts the web's usual roots and speaks HTTP/1.1 only: awc cannot open a WebSocket over HTTP/2.
///
/// # Errors
/// When the TLS library does not know its own protocol versions.
pub(super) fn build(patience: Duration) -> Result<Client, rustls::Error> {
    let roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    // The provider is named here, so that nothing depends on one being installed for the process.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let connector = Connector::new()
        .timeout(patience)
        .handshake_timeout(patience)
        .rustls_0_23(Arc::new(tls));
    Ok(Client::builder()
        .connector(connector)
        .timeout(patience)
        .disable_redirects()
        .finish())
}
