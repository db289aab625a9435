//! The load balancer of a fleet: each new connection goes, in turn, to an instance that is ready; one that comes while
//! none is waits, as behind the proxy that ships with the service.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// Between two questions whether an instance is ready.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// How long a connection waits for an instance.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct LoadBalancer {
    pub(crate) address: SocketAddr,
    backends: Arc<Backends>,
}

#[derive(Default)]
struct Backends {
    instances: Mutex<Vec<SocketAddr>>,
    next: AtomicUsize,
}

impl LoadBalancer {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let backends = Arc::new(Backends::default());
        let shared = backends.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let backends = shared.clone();
                tokio::spawn(async move { backends.lead(client).await });
            }
        });
        Self { address, backends }
    }

    /// The instances behind it.
    pub(crate) fn leads_to(&self, instances: &[SocketAddr]) {
        *self.backends.instances.lock().unwrap() = instances.to_vec();
    }
}

impl Backends {
    async fn lead(&self, mut client: TcpStream) {
        let _ = client.set_nodelay(true);
        let Ok(Some(mut backend)) = timeout(PATIENCE, self.ready()).await else {
            return;
        };
        let _ = backend.set_nodelay(true);
        // When either side ends, both do.
        let _ = copy_bidirectional(&mut client, &mut backend).await;
    }

    /// A connection to the next instance that says it is ready.
    async fn ready(&self) -> Option<TcpStream> {
        loop {
            let instances = self.instances.lock().unwrap().clone();
            for _ in 0..instances.len() {
                let turn = self.next.fetch_add(1, Ordering::Relaxed);
                let instance = *instances.get(turn % instances.len())?;
                if is_ready(instance).await
                    && let Ok(backend) = TcpStream::connect(instance).await
                {
                    return Some(backend);
                }
            }
            sleep(ASK_EVERY).await;
        }
    }
}

async fn is_ready(instance: SocketAddr) -> bool {
    let ask = async {
        let mut socket = TcpStream::connect(instance).await.ok()?;
        let request = b"GET /readyz HTTP/1.1\r\nHost: spa.example\r\nConnection: close\r\n\r\n";
        socket.write_all(request).await.ok()?;
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).await.ok()?;
        Some(answer.ends_with(b" 200"))
    };
    timeout(Duration::from_secs(1), ask).await.ok().flatten() == Some(true)
}
