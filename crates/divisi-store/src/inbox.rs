//! Watermarks: how far each lane of each source has taken effect here.
