//! A TCP proxy for bad weather: delay, jitter, a byte rate, black holes, cuts, half-closes and resets, each on a chosen
//! connection and at a chosen moment. Its dice are seeded.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::FusedFuture as _;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Chunks on their way in one direction; more and the sender has to wait, as on a full link.
const UNDER_WAY: usize = 256;

/// What a connection goes through. The default is fine weather.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weather {
    /// Each chunk is so late, in either direction.
    pub delay: Duration,
    /// And up to so much later; chunks stay in order.
    pub jitter: Duration,
    /// Bytes a second in either direction.
    pub bytes_per_second: Option<u64>,
    /// Everything vanishes, and nobody is told: no FIN, no RST.
    pub black_hole: bool,
}

/// An end that no peer has wished for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Both sides are closed in order (FIN).
    Close,
    /// The client is told that no more will come (FIN), and may go on sending.
    HalfClose,
    /// Both sides are reset (RST).
    Reset,
}

/// A running proxy; it ends when it is dropped.
#[derive(Debug)]
pub struct Chaos {
    address: SocketAddr,
    desk: Arc<Mutex<Desk>>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Desk {
    target: Option<SocketAddr>,
    weather: Weather,
    /// Cut every new connection after so many bytes from the server.
    cut_after: Option<(u64, Cut)>,
    passages: Vec<Passage>,
}

/// One connection through the proxy; cheap to clone.
#[derive(Debug, Clone)]
pub struct Passage {
    number: usize,
    orders: Arc<watch::Sender<Orders>>,
    /// Bytes from the server so far.
    received: Arc<watch::Sender<u64>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Orders {
    weather: Weather,
    cut: Option<Cut>,
    cut_after: Option<(u64, Cut)>,
}

impl Chaos {
    /// Starts a proxy on a free port of loopback; [`aim`](Self::aim) says where it leads.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start(seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let desk = Arc::new(Mutex::new(Desk::default()));
        let accepting = tokio::spawn(accept(
            listener,
            desk.clone(),
            fastrand::Rng::with_seed(seed),
        ));
        Ok(Self {
            address,
            desk,
            accepting,
        })
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        lock(&self.desk)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where connections lead from now on; until it is said they are closed at once.
    pub fn aim(&self, target: SocketAddr) {
        self.desk().target = Some(target);
    }

    /// The weather of every connection, open now or later.
    pub fn weather(&self, weather: Weather) {
        let mut desk = self.desk();
        desk.weather = weather;
        for passage in &desk.passages {
            passage.weather(weather);
        }
    }

    /// Cuts every later connection once the server has sent so many bytes; `None`: no more.
    pub fn cut_after(&self, plan: Option<(u64, Cut)>) {
        self.desk().cut_after = plan;
    }

    /// The connections so far, in the order they came.
    #[must_use]
    pub fn passages(&self) -> Vec<Passage> {
        self.desk().passages.clone()
    }
}

impl Drop for Chaos {
    fn drop(&mut self) {
        self.accepting.abort();
        for passage in self.passages() {
            passage.cut(Cut::Close);
        }
    }
}

impl Passage {
    /// Which connection it is, counted from 1.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// Bytes the server has sent through it.
    #[must_use]
    pub fn received(&self) -> u64 {
        *self.received.borrow()
    }

    /// Its own weather, from now on.
    pub fn weather(&self, weather: Weather) {
        self.orders.send_modify(|orders| orders.weather = weather);
    }

    /// Ends it.
    pub fn cut(&self, cut: Cut) {
        self.orders.send_modify(|orders| orders.cut = Some(cut));
    }

    /// Ends it once the server has sent so many bytes more.
    pub fn cut_after(&self, bytes: u64, cut: Cut) {
        let at = self.received() + bytes;
        self.orders
            .send_modify(|orders| orders.cut_after = Some((at, cut)));
    }
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, desk: Arc<Mutex<Desk>>, mut dice: fastrand::Rng) {
    while let Ok((client, _)) = listener.accept().await {
        let (passage, target) = {
            let mut desk = lock(&desk);
            let orders = Orders {
                weather: desk.weather,
                cut: None,
                cut_after: desk.cut_after,
            };
            let passage = Passage {
                number: desk.passages.len() + 1,
                orders: Arc::new(watch::Sender::new(orders)),
                received: Arc::new(watch::Sender::new(0)),
            };
            desk.passages.push(passage.clone());
            (passage, desk.target)
        };
        let Some(target) = target else { continue };
        tokio::spawn(lead(client, target, passage, dice.fork()));
    }
}

/// Leads one connection to the target, to its end.
async fn lead(client: TcpStream, target: SocketAddr, passage: Passage, mut dice: fastrand::Rng) {
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    for stream in [&client, &server] {
        if let Err(error) = stream.set_nodelay(true) {
            log::debug!("no tcp_nodelay: {error}");
        }
    }
    let (client, server) = (Arc::new(client), Arc::new(server));
    // It may be done before the order to half-close comes.
    let up = carry(&client, &server, &passage, None, dice.fork()).fuse();
    let down = carry(
        &server,
        &client,
        &passage,
        Some(&passage.received),
        dice.fork(),
    );
    tokio::pin!(up, down);
    let both = async {
        tokio::join!(&mut up, &mut down);
    };
    let cut = tokio::select! {
        () = both => return,
        cut = cut_of(&passage) => cut,
    };
    match cut {
        Cut::Close => {}
        Cut::Reset => {
            for stream in [&client, &server] {
                if let Err(error) = stream.set_zero_linger() {
                    log::debug!("not reset: {error}");
                }
            }
        }
        Cut::HalfClose => {
            finish(&client);
            // What the client still says arrives, until it is done.
            if !up.is_terminated() {
                up.await;
            }
        }
    }
}

/// Waits for the order to cut.
async fn cut_of(passage: &Passage) -> Cut {
    let mut orders = passage.orders.subscribe();
    let mut received = passage.received.subscribe();
    loop {
        let Orders { cut, cut_after, .. } = *orders.borrow_and_update();
        let so_far = *received.borrow_and_update();
        let planned = cut_after
            .filter(|(at, _)| so_far >= *at)
            .map(|(_, cut)| cut);
        if let Some(cut) = cut.or(planned) {
            return cut;
        }
        // Both senders live as long as the passage.
        tokio::select! {
            _ = orders.changed() => {}
            _ = received.changed() => {}
        }
    }
}

/// Carries bytes one way until there are no more, then says so.
async fn carry(
    from: &TcpStream,
    to: &TcpStream,
    passage: &Passage,
    count: Option<&watch::Sender<u64>>,
    mut dice: fastrand::Rng,
) {
    let (queue, mut due) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    let reading = async move {
        let mut last = Instant::now();
        while let Some(chunk) = read(from).await {
            let weather = passage.orders.borrow().weather;
            if let Some(count) = count {
                count.send_modify(|bytes| *bytes += chunk.len() as u64);
            }
            if weather.black_hole {
                continue;
            }
            let jitter = weather.jitter.mul_f64(dice.f64());
            last = last.max(Instant::now() + weather.delay + jitter);
            if queue.send((last, chunk)).await.is_err() {
                return;
            }
        }
    };
    let writing = async {
        while let Some((at, chunk)) = due.recv().await {
            tokio::time::sleep_until(at).await;
            let rate = passage.orders.borrow().weather.bytes_per_second;
            if let Some(rate) = rate {
                let seconds = chunk.len() as f64 / rate.max(1) as f64;
                tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
            }
            if !write(to, &chunk).await {
                return;
            }
        }
        let is_hole = passage.orders.borrow().weather.black_hole;
        if !is_hole {
            finish(to);
        }
    };
    tokio::join!(reading, writing);
}

async fn read(from: &TcpStream) -> Option<Vec<u8>> {
    let mut chunk = vec![0; 16 * 1024];
    loop {
        from.readable().await.ok()?;
        match from.try_read(&mut chunk) {
            Ok(0) => return None,
            Ok(length) => {
                chunk.truncate(length);
                return Some(chunk);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    }
}

async fn write(to: &TcpStream, mut chunk: &[u8]) -> bool {
    while !chunk.is_empty() {
        if to.writable().await.is_err() {
            return false;
        }
        match to.try_write(chunk) {
            Ok(length) => chunk = &chunk[length..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
    }
    true
}

/// Tells a peer that no more will come.
fn finish(to: &TcpStream) {
    // It may be gone already.
    let _ = SockRef::from(to).shutdown(std::net::Shutdown::Write);
}
