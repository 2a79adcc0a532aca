/**
 * A firmware of 64 KiB that does one thing: starts where every x86 machine does, in real mode at the reset vector,
 * switches to 64-bit mode and leaves by qemu's isa-debug-exit. A node whose KVM can run this can run guests; some
 * have a /dev/kvm that opens, and hang in the first instructions of any ordinary one.
 *
 * References: Intel SDM volume 3, 10.1.4 (first instruction), 10.8.5 (initialising IA-32e mode).
 */

const IMAGE_BYTES = 64 * 1024;
/** The image ends at 4 GiB. */
const IMAGE_BASE = 0xffff_0000;
const CODE = 0xf000;
const GDT = 0xfe00;
const GDT_POINTER = 0xfe20;
const RESET_VECTOR = 0xfff0;
const LONG_MODE_CODE = 0xf800;

export const EXIT_PORT = 0xf4;
const EXIT_VALUE = 0x2a;
/** isa-debug-exit ends qemu with (value << 1) | 1. */
export const PAYLOAD_EXIT_CODE = (EXIT_VALUE << 1) | 1;

/** Tables in RAM: KVM may write their accessed bits, which it couldn't in ROM. */
const PML4 = 0x1000;
const PDPT = 0x2000;
const PAGE_DIRECTORY = 0x3000;

export function payload(): Buffer {
  const image = Buffer.alloc(IMAGE_BYTES, 0xf4); // hlt
  image.set(realModeCode(), CODE);
  image.set(longModeCode(), LONG_MODE_CODE);
  // Null, then a 64-bit code segment: present, accessed, L.
  image.set([...u32(0), ...u32(0), ...u32(0x0000_ffff), ...u32(0x00af_9b00)], GDT);
  image.set([...u16(15), ...u32(IMAGE_BASE + GDT)], GDT_POINTER);
  // jmp near CODE
  image.set([0xe9, ...u16(CODE - (RESET_VECTOR + 3))], RESET_VECTOR);
  return image;
}

function realModeCode(): readonly number[] {
  return [
    0xfa, // cli
    ...[0x31, 0xc0], // xor ax, ax
    ...[0x8e, 0xd8], // mov ds, ax
    ...[0x8e, 0xc0], // mov es, ax
    0xfc, // cld
    // Three empty tables.
    ...[0xbf, ...u16(PML4)], // mov di, PML4
    ...[0xb9, ...u16((3 * 4096) / 4)], // mov cx, dwords
    ...[0x66, 0x31, 0xc0], // xor eax, eax
    ...[0xf3, 0x66, 0xab], // rep stosd
    // The image's 2 MiB below 4 GiB are all that is mapped. 3: present, writable; 0x80: a 2 MiB page.
    ...storeDword(PML4, PDPT | 3),
    ...storeDword(PDPT + 3 * 8, PAGE_DIRECTORY | 3),
    ...storeDword(PAGE_DIRECTORY + 511 * 8, 0xffe0_0083),
    ...[0x0f, 0x20, 0xe0], // mov eax, cr4
    ...[0x66, 0x83, 0xc8, 0x20], // or eax, PAE
    ...[0x0f, 0x22, 0xe0], // mov cr4, eax
    ...[0x66, 0xb8, ...u32(PML4)], // mov eax, PML4
    ...[0x0f, 0x22, 0xd8], // mov cr3, eax
    ...[0x66, 0xb9, ...u32(0xc000_0080)], // mov ecx, IA32_EFER
    ...[0x0f, 0x32], // rdmsr
    ...[0x66, 0x0d, ...u32(0x100)], // or eax, LME
    ...[0x0f, 0x30], // wrmsr
    ...[0x2e, 0x66, 0x0f, 0x01, 0x16, ...u16(GDT_POINTER)], // lgdt cs:[GDT_POINTER]
    ...[0x0f, 0x20, 0xc0], // mov eax, cr0
    ...[0x66, 0x0d, ...u32(0x8000_0001)], // or eax, PG | PE
    ...[0x0f, 0x22, 0xc0], // mov cr0, eax
    ...[0x66, 0xea, ...u32(IMAGE_BASE + LONG_MODE_CODE), ...u16(8)], // jmp far 8:LONG_MODE_CODE
  ];
}

/** The value comes from the upper half of a register: in any narrower mode it would be another. */
function longModeCode(): readonly number[] {
  return [
    ...[0x48, 0xb8, ...u32(0), ...u32(EXIT_VALUE)], // mov rax, EXIT_VALUE << 32
    ...[0x48, 0xc1, 0xe8, 0x20], // shr rax, 32
    ...[0x66, 0xba, ...u16(EXIT_PORT)], // mov dx, EXIT_PORT
    0xef, // out dx, eax
    0xf4, // hlt
    ...[0xeb, 0xfd], // jmp to the hlt
  ];
}

/** mov dword [address], value */
function storeDword(address: number, value: number): readonly number[] {
  return [0x66, 0xc7, 0x06, ...u16(address), ...u32(value)];
}

function u16(value: number): readonly number[] {
  return [value & 0xff, (value >>> 8) & 0xff];
}

function u32(value: number): readonly number[] {
  return [...u16(value), ...u16(value >>> 16)];
}
