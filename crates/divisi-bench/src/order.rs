//! What is carried: a record of ten fields, once for everybody who can derive and once for protobuf.

/// An order, as services in Rust write it.
#[divisi::data]
pub(crate) struct Order {
    pub(crate) id: u64,
    pub(crate) customer: u64,
    pub(crate) item: String,
    pub(crate) count: u32,
    pub(crate) price: u64,
    pub(crate) currency: String,
    pub(crate) note: Option<String>,
    pub(crate) express: bool,
    pub(crate) lines: Vec<u32>,
    pub(crate) weight: f64,
}

/// The same as a protobuf message.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ProtoOrder {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    customer: u64,
    #[prost(string, tag = "3")]
    item: String,
    #[prost(uint32, tag = "4")]
    count: u32,
    #[prost(uint64, tag = "5")]
    price: u64,
    #[prost(string, tag = "6")]
    currency: String,
    #[prost(string, optional, tag = "7")]
    note: Option<String>,
    #[prost(bool, tag = "8")]
    express: bool,
    #[prost(uint32, repeated, tag = "9")]
    lines: Vec<u32>,
    #[prost(double, tag = "10")]
    weight: f64,
}

impl Order {
    /// The order that every benchmark sends.
    pub(crate) fn sample() -> Order {
        Order {
            id: 4_711,
            customer: 815,
            item: "a chair of oak with a back of willow".to_owned(),
            count: 4,
            price: 129_900,
            currency: "EUR".to_owned(),
            note: Some("ring twice; the bell is below the lamp".to_owned()),
            express: true,
            lines: vec![1, 2, 3, 5, 8, 13, 21, 34],
            weight: 18.25,
        }
    }

    /// An order without anything on the heap: for what costs so little that making it would be most of the cost.
    pub(crate) fn light() -> Order {
        let (item, currency, lines) = (String::new(), String::new(), Vec::new());
        Order {
            item,
            currency,
            lines,
            id: 1,
            customer: 2,
            count: 3,
            price: 4,
            note: None,
            express: true,
            weight: 0.5,
        }
    }
}

impl From<Order> for ProtoOrder {
    fn from(order: Order) -> ProtoOrder {
        let Order { id, customer, item, count, price, currency, note, express, lines, weight } = order;
        ProtoOrder { id, customer, item, count, price, currency, note, express, lines, weight }
    }
}
