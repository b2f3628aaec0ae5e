//! What is not HTTP, or only nearly.

use divisi_gateway::Limits;

use crate::client::Running;
use crate::edge::Things;

#[tokio::test]
async fn rubbish_costs_its_own_connection_only() {
    let things = Things::default();
    let running = Running::of(things.clone(), Limits::default()).await;
    let mut other = running.connect().await;
    assert_eq!(other.ask("GET /things", &[], b"").await.status, 200);
    let rubbish: &[&[u8]] = &[
        b"\r\n\r\nrubbish\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /things\r\n\r\n",
        b"GET /things HTTP/9.9\r\n\r\n",
        b"GET /thi ngs HTTP/1.1\r\n\r\n",
        b"GET things HTTP/1.1\r\nhost: t\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nhost: t\r\n\r\n",
        b"GET /things HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /things HTTP/1.1\r\nhost : t\r\nx\0y: z\r\n\r\n",
        b"POST /things HTTP/1.1\r\nhost: t\r\ncontent-length: -1\r\n\r\n",
        b"POST /things HTTP/1.1\r\nhost: t\r\ncontent-length: 99999999999999999999999\r\n\r\n",
        b"POST /things HTTP/1.1\r\nhost: t\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}",
        b"POST /things HTTP/1.1\r\nhost: t\r\ntransfer-encoding: gzip\r\n\r\n{}",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT example.org:443 HTTP/1.1\r\nhost: t\r\n\r\n",
        b"GET * HTTP/1.1\r\nhost: t\r\n\r\n",
    ];
    for bytes in rubbish {
        let shown = String::from_utf8_lossy(bytes);
        let mut client = running.connect().await;
        client.send(bytes).await;
        if let Some(reply) = client.reply_or_end().await {
            assert!((400..500).contains(&reply.status), "{shown:?} was answered with {}", reply.status);
        }
    }
    assert_eq!(things.calls(), 1, "rubbish became a call");
    assert_eq!(other.ask("GET /things", &[], b"").await.status, 200, "another connection felt it");
}

#[tokio::test]
async fn a_head_beyond_its_limits_is_refused() {
    let things = Things::default();
    let running = Running::of(things.clone(), Limits { head_bytes_max: 16 << 10, ..Limits::default() }).await;
    let large = "x".repeat(17 << 10);
    let mut client = running.connect().await;
    assert_eq!(client.ask("GET /things", &[("x-large", &large)], b"").await.status, 431);
    let many = vec![("x-many", "1"); 101];
    let mut client = running.connect().await;
    assert_eq!(client.ask("GET /things", &many, b"").await.status, 431);
    let large = "x".repeat(15 << 10);
    let mut client = running.connect().await;
    assert_eq!(client.ask("GET /things", &[("x-large", &large)], b"").await.status, 200);
    assert_eq!(things.calls(), 1);
}
