//! A slab allocator for byte strings of mixed length: the memory of the coin cache's records.
//!
//! An allocation for each coin would cost some sixteen bytes of bookkeeping and rounding, and a pointer of eight. Here
//! memory is allocated in chunks of 16 KiB, each divided into cells of one size, and a handle of four bytes names a
//! cell. A freed cell is used by the next string of about its length; an empty chunk can be used for any length, or is
//! freed. Bitcoin Core's `PoolAllocator`, which serves its coin cache, frees nothing before the whole cache is dropped.

/// Cells begin at multiples of this many bytes.
const UNIT: usize = 8;

/// Units of a chunk.
const CHUNK_UNITS: usize = 1 << 11;

/// Bytes of a chunk.
pub(super) const CHUNK_BYTES: usize = CHUNK_UNITS * UNIT;

/// The sizes of cells in units: each up to 128 bytes, then in steps of a seventh to a half. The last holds a coin whose
/// script has 10,000 bytes, the longest that can be spent.
const SIZES: [u16; 30] = [
    5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 128, 160, 192, 256, 384, 512,
    896, 1_280,
];

/// Before each string: its length, 0 in a free cell.
const LENGTH_BYTES: usize = 2;

/// The longest string that fits, in bytes.
pub(super) const MAX_LENGTH: usize = SIZES[SIZES.len() - 1] as usize * UNIT - LENGTH_BYTES;

/// After the length in a free cell: the next free cell of its chunk.
const NEXT_FREE: std::ops::Range<usize> = LENGTH_BYTES..LENGTH_BYTES + 2;

const NO_CELL: u16 = u16::MAX;

/// Names a string: the number of its chunk and its offset there in units. It addresses 32 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Handle(u32);

impl Handle {
    fn new(chunk: usize, unit: usize) -> Self {
        Self(u32::try_from(chunk * CHUNK_UNITS + unit).expect("a cache of more than 32 GiB is refused before"))
    }

    const fn chunk(self) -> usize {
        self.0 as usize / CHUNK_UNITS
    }

    const fn byte(self) -> usize {
        self.0 as usize % CHUNK_UNITS * UNIT
    }
}

/// Memory for cells of one size; vacant if it has no bytes.
#[derive(Debug)]
struct Chunk {
    bytes: Box<[u8]>,
    /// The index of its cells' size in [`SIZES`].
    class: usize,
    /// Cells in use.
    used: u16,
    /// Cells below this number have been used.
    begun: u16,
    /// The first of the free cells among those.
    free: u16,
}

impl Chunk {
    fn cell_units(&self) -> usize {
        SIZES[self.class].into()
    }

    fn is_full(&self) -> bool {
        usize::from(self.used) == CHUNK_UNITS / self.cell_units()
    }

    fn cell(&mut self, cell: u16) -> &mut [u8] {
        let length = self.cell_units() * UNIT;
        let start = usize::from(cell) * length;
        &mut self.bytes[start..start + length]
    }

    /// Takes a free cell and returns its number.
    fn take(&mut self) -> u16 {
        self.used += 1;
        if self.free == NO_CELL {
            self.begun += 1;
            return self.begun - 1;
        }
        let cell = self.free;
        let bytes = self.cell(cell);
        self.free = u16::from_le_bytes([bytes[NEXT_FREE.start], bytes[NEXT_FREE.start + 1]]);
        cell
    }

    fn give_back(&mut self, cell: u16) {
        let next = self.free.to_le_bytes();
        let bytes = self.cell(cell);
        bytes[..LENGTH_BYTES].fill(0);
        bytes[NEXT_FREE].copy_from_slice(&next);
        self.free = cell;
        self.used -= 1;
    }
}

/// The index in [`SIZES`] of the smallest cells that fit a string of `length` bytes.
fn class_of(length: usize) -> usize {
    let units = (LENGTH_BYTES + length).div_ceil(UNIT);
    SIZES.partition_point(|size| usize::from(*size) < units)
}

/// Byte strings, named by [`Handle`]s.
#[derive(Debug, Default)]
pub(super) struct Cells {
    chunks: Vec<Chunk>,
    /// By class: all chunks.
    all: [Vec<u32>; SIZES.len()],
    /// By class: the chunks that are not full.
    open: [Vec<u32>; SIZES.len()],
    /// Numbers of freed chunks, which can be used again.
    vacant: Vec<u32>,
}

impl Cells {
    /// Bytes of all chunks.
    pub(super) fn memory(&self) -> usize {
        (self.chunks.len() - self.vacant.len()) * CHUNK_BYTES + self.chunks.capacity() * size_of::<Chunk>()
    }

    /// The number of chunks, freed ones included: the bound of [`Self::in_chunk`]'s argument.
    pub(super) fn chunk_count(&self) -> usize {
        self.chunks.len()
    }

    /// If no cell for a string of `length` bytes is free: the chunks of its size. `None`: a cell is free.
    pub(super) fn lacking_room(&self, length: usize) -> Option<&[u32]> {
        let class = class_of(length);
        self.open[class].is_empty().then_some(&self.all[class])
    }

    /// Stores the concatenation of `parts`.
    ///
    /// # Panics
    /// If it is empty, or longer than [`MAX_LENGTH`].
    pub(super) fn store(&mut self, parts: &[&[u8]]) -> Handle {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        assert!((1..=MAX_LENGTH).contains(&length), "a string of {length} bytes");
        let class = class_of(length);
        let chunk_number = match self.open[class].last() {
            Some(open) => *open as usize,
            None => self.open_chunk(class),
        };
        let chunk = &mut self.chunks[chunk_number];
        let cell = chunk.take();
        let bytes = chunk.cell(cell);
        bytes[..LENGTH_BYTES].copy_from_slice(&(length as u16).to_le_bytes());
        let mut at = LENGTH_BYTES;
        for part in parts {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        if chunk.is_full() {
            self.open[class].pop();
        }
        Handle::new(chunk_number, usize::from(cell) * usize::from(SIZES[class]))
    }

    fn open_chunk(&mut self, class: usize) -> usize {
        let chunk = Chunk { bytes: vec![0; CHUNK_BYTES].into(), class, used: 0, begun: 0, free: NO_CELL };
        let number = match self.vacant.pop() {
            Some(number) => {
                self.chunks[number as usize] = chunk;
                number as usize
            }
            None => {
                self.chunks.push(chunk);
                self.chunks.len() - 1
            }
        };
        self.all[class].push(number as u32);
        self.open[class].push(number as u32);
        number
    }

    /// The string; empty: it was freed.
    ///
    /// # Panics
    /// If its chunk was freed.
    pub(super) fn get(&self, handle: Handle) -> &[u8] {
        let bytes = &self.chunks[handle.chunk()].bytes[handle.byte()..];
        let length = u16::from_le_bytes([bytes[0], bytes[1]]);
        &bytes[LENGTH_BYTES..LENGTH_BYTES + usize::from(length)]
    }

    /// As [`Self::get`]; the length stays.
    pub(super) fn get_mut(&mut self, handle: Handle) -> &mut [u8] {
        let bytes = &mut self.chunks[handle.chunk()].bytes[handle.byte()..];
        let length = u16::from_le_bytes([bytes[0], bytes[1]]);
        &mut bytes[LENGTH_BYTES..LENGTH_BYTES + usize::from(length)]
    }

    /// Frees a string's cell.
    pub(super) fn free(&mut self, handle: Handle) {
        let number = handle.chunk();
        let chunk = &mut self.chunks[number];
        if chunk.is_full() {
            self.open[chunk.class].push(number as u32);
        }
        let cell = handle.byte() / (chunk.cell_units() * UNIT);
        chunk.give_back(cell as u16);
    }

    /// The strings of one chunk.
    pub(super) fn in_chunk(&self, number: usize) -> impl Iterator<Item = Handle> {
        let chunk = &self.chunks[number];
        let units = chunk.cell_units();
        let begun = if chunk.used == 0 { 0 } else { chunk.begun };
        (0..usize::from(begun))
            .map(move |cell| Handle::new(number, cell * units))
            .filter(|handle| !self.get(*handle).is_empty())
    }

    /// Frees the chunks without a used cell. Handles of freed strings are invalid afterwards: other strings may be at
    /// their offsets.
    pub(super) fn free_empty_chunks(&mut self) {
        let is_empty = |chunk: &Chunk| chunk.used == 0 && !chunk.bytes.is_empty();
        for list in self.all.iter_mut().chain(&mut self.open) {
            list.retain(|number| !is_empty(&self.chunks[*number as usize]));
        }
        for (chunk, number) in self.chunks.iter_mut().zip(0..) {
            if is_empty(chunk) {
                chunk.bytes = Box::default();
                self.vacant.push(number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Marks, the longest key, VARINTs of height and amount, and the longest script with its length.
    const _: () = assert!(1 + 37 + 5 + 10 + 3 + crate::coins::MAX_SCRIPT_SIZE <= MAX_LENGTH);

    #[test]
    fn chunks_that_are_empty_serve_any_length_again() {
        let mut cells = Cells::default();
        let many: Vec<Handle> = (0..5_000).map(|_| cells.store(&[&[7; 40]])).collect();
        let full = cells.memory();
        many.iter().for_each(|handle| cells.free(*handle));
        assert_eq!(cells.memory(), full, "chunks stay allocated");
        cells.free_empty_chunks();
        assert!(cells.memory() < full / 10);
        assert!((0..cells.chunk_count()).all(|chunk| cells.in_chunk(chunk).next().is_none()));
        let long = cells.store(&[&[1; 9_000], &[2; 1_000]]);
        assert_eq!((cells.get(long).len(), cells.get(long)[8_999], cells.get(long)[9_000]), (10_000, 1, 2));
        assert_eq!(cells.in_chunk(long.chunk()).collect::<Vec<_>>(), [long]);
    }

    proptest! {
        #[test]
        fn strings_stay_what_they_are(
            steps in proptest::collection::vec((any::<bool>(), 1..700_usize, any::<u8>()), 1..3_000),
        ) {
            let mut cells = Cells::default();
            let mut kept: Vec<(Handle, Vec<u8>)> = Vec::new();
            for (frees, length, byte) in steps {
                if frees && !kept.is_empty() {
                    let (handle, string) = kept.swap_remove(length % kept.len());
                    prop_assert_eq!(cells.get(handle), &string);
                    cells.free(handle);
                    prop_assert!(cells.get(handle).is_empty());
                } else {
                    let string = vec![byte; length];
                    let (first, second) = string.split_at(length / 2);
                    kept.push((cells.store(&[first, second]), string));
                }
                if byte == 0 {
                    cells.free_empty_chunks();
                }
            }
            kept.sort();
            let found: Vec<Handle> = (0..cells.chunk_count()).flat_map(|chunk| cells.in_chunk(chunk)).collect();
            prop_assert_eq!(found, kept.iter().map(|(handle, _)| *handle).collect::<Vec<_>>());
            prop_assert!(kept.iter().all(|(handle, string)| cells.get(*handle) == string));
        }
    }
}
