/**
 * A firmware of 64 KiB that does what every kernel does first: starts in real mode at the reset vector, switches to
 * 64-bit mode, goes on in the upper half of the address space, in ring 0, takes an exception through its interrupt
 * table and returns from it, works for a while, and leaves by qemu's isa-debug-exit. Some nodes have a /dev/kvm that
 * opens but was made for paravirtual kernels: it interprets ordinary ones, a thousand times slower, or hangs them.
 * Hence the work: some ten milliseconds for a processor, minutes for KVM's interpreter.
 *
 * References: Intel SDM volume 3, 10.1.4 (first instruction), 10.8.5 (initialising IA-32e mode), 7.14 (exceptions in
 * 64-bit mode).
 */

const IMAGE_BYTES = 64 * 1024;
/** The image ends at 4 GiB. */
const IMAGE_BASE = 0xffff_0000;
const CODE = 0xf000;
const GDT = 0xfe00;
const GDT_POINTER = 0xfe20;
const RESET_VECTOR = 0xfff0;
const LONG_MODE_CODE = 0xf800;
const UPPER_HALF_CODE = 0xf900;
const EXCEPTION_HANDLER = 0xfa00;
const IDT = 0xfc00;
const IDT_POINTER = 0xfd00;
/** #UD, what ud2 raises. */
const INVALID_OPCODE = 6;

export const EXIT_PORT = 0xf4;
/** Rounds of two instructions. */
const WORK_ROUNDS = 50_000_000;
const EXIT_VALUE = 0x2a;
/** isa-debug-exit ends qemu with (value << 1) | 1. */
export const PAYLOAD_EXIT_CODE = (EXIT_VALUE << 1) | 1;

/** Tables in RAM: KVM may write their accessed bits, which it couldn't in ROM. */
const PML4 = 0x1000;
const PDPT = 0x2000;
const PAGE_DIRECTORY = 0x3000;
const LOW_PAGE_DIRECTORY = 0x4000;
const STACK_TOP = 0x8000;

export function payload(): Buffer {
  const image = Buffer.alloc(IMAGE_BYTES, 0xf4); // hlt
  image.set(realModeCode(), CODE);
  image.set(longModeCode(), LONG_MODE_CODE);
  image.set(upperHalfCode(), UPPER_HALF_CODE);
  image.set(exceptionHandler(), EXCEPTION_HANDLER);
  image.fill(0, IDT, IDT + INVALID_OPCODE * 16);
  image.set(interruptGate(EXCEPTION_HANDLER), IDT + INVALID_OPCODE * 16);
  image.set([...u16((INVALID_OPCODE + 1) * 16 - 1), ...upperHalf(IDT)], IDT_POINTER);
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
    // Four empty tables.
    ...[0xbf, ...u16(PML4)], // mov di, PML4
    ...[0xb9, ...u16((4 * 4096) / 4)], // mov cx, dwords
    ...[0x66, 0x31, 0xc0], // xor eax, eax
    ...[0xf3, 0x66, 0xab], // rep stosd
    // Mapped are 2 MiB of RAM at 0, and the image's 2 MiB where they are, below 4 GiB, and at the very top of the
    // address space. 3: present, writable; 0x80: a 2 MiB page.
    ...storeDword(PML4, PDPT | 3),
    ...storeDword(PML4 + 511 * 8, PDPT | 3),
    ...storeDword(PDPT, LOW_PAGE_DIRECTORY | 3),
    ...storeDword(PDPT + 3 * 8, PAGE_DIRECTORY | 3),
    ...storeDword(PDPT + 511 * 8, PAGE_DIRECTORY | 3),
    ...storeDword(LOW_PAGE_DIRECTORY, 0x83),
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

/** IMAGE_BASE has its upper bit set: sign-extended it is the address in the upper half. */
function longModeCode(): readonly number[] {
  return [
    ...[0x48, 0xc7, 0xc0, ...u32(IMAGE_BASE + UPPER_HALF_CODE)], // mov rax, UPPER_HALF_CODE
    ...[0xff, 0xe0], // jmp rax
  ];
}

function upperHalfCode(): readonly number[] {
  const workAndLeave = [
    ...[0xb9, ...u32(WORK_ROUNDS)], // mov ecx, WORK_ROUNDS
    ...[0xff, 0xc9], // dec ecx
    ...[0x75, 0xfc], // jnz to the dec
    ...[0x48, 0x89, 0xd8], // mov rax, rbx
    ...[0x48, 0xc1, 0xe8, 0x20], // shr rax, 32
    ...[0x66, 0xba, ...u16(EXIT_PORT)], // mov dx, EXIT_PORT
    0xef, // out dx, eax
  ];
  return [
    ...[0xbc, ...u32(STACK_TOP)], // mov esp, STACK_TOP
    ...[0x0f, 0x01, 0x1c, 0x25, ...u32(IMAGE_BASE + IDT_POINTER)], // lidt [IDT_POINTER]
    ...[0x31, 0xdb], // xor ebx, ebx
    ...[0x0f, 0x0b], // ud2: the handler sets rbx
    ...[0x8c, 0xc8], // mov eax, cs
    ...[0xa8, 0x03], // test al, 3: the ring
    ...[0x75, workAndLeave.length], // jnz to the hlt
    ...workAndLeave,
    0xf4, // hlt
    ...[0xeb, 0xfd], // jmp to the hlt
  ];
}

/** The value lies in the upper half of a register: in any narrower mode the exit code would be another. */
function exceptionHandler(): readonly number[] {
  return [
    ...[0x48, 0xbb, ...u32(0), ...u32(EXIT_VALUE)], // mov rbx, EXIT_VALUE << 32
    ...[0x48, 0x83, 0x04, 0x24, 0x02], // add qword [rsp], 2: behind ud2
    ...[0x48, 0xcf], // iretq
  ];
}

/** A present 64-bit interrupt gate to code in the upper half. */
function interruptGate(offset: number): readonly number[] {
  const [low0 = 0, low1 = 0, ...rest] = upperHalf(offset);
  return [low0, low1, ...u16(8), 0x00, 0x8e, ...rest, ...u32(0)];
}

function upperHalf(offset: number): readonly number[] {
  return [...u32(IMAGE_BASE + offset), ...u32(0xffff_ffff)];
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
