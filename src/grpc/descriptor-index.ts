import {
  createFileRegistry,
  type DescFile,
  type DescMessage,
  type FileRegistry,
  fromBinary,
  toBinary,
} from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';

/** The protos of the services, as reflection asks for them. Files are encoded, each behind what imports it. */
export interface DescriptorIndex {
  byFilename(name: string): Uint8Array[] | null;
  /** A fully-qualified message, enum, service, method, field, enum value or extension. */
  bySymbol(name: string): Uint8Array[] | null;
  byExtension(message: string, number: number): Uint8Array[] | null;
  /** The numbers of the extensions of a message; null when there is no such message. */
  extensionNumbers(message: string): number[] | null;
}

/** @param descriptorSet an encoded `google.protobuf.FileDescriptorSet`, imports included */
export function createDescriptorIndex(descriptorSet: Uint8Array): DescriptorIndex {
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, descriptorSet));

  return {
    byFilename: (name) => encoded(registry.getFile(name)),
    bySymbol: (name) => encoded(fileOf(registry, name)),
    byExtension(message, number) {
      const extendee = registry.getMessage(message);
      return encoded(extendee && registry.getExtensionFor(extendee, number)?.file);
    },
    extensionNumbers(message) {
      const extendee = registry.getMessage(message);
      return extendee === undefined ? null : numbersOf(registry, extendee);
    },
  };
}

function fileOf(registry: FileRegistry, symbol: string): DescFile | undefined {
  const type = registry.get(symbol);
  if (type !== undefined) return type.file;
  // A member of a type: the type has it, and so its file.
  const dot = symbol.lastIndexOf('.');
  const owner = registry.get(symbol.slice(0, dot));
  const member = symbol.slice(dot + 1);
  switch (owner?.kind) {
    case 'service':
      return owner.methods.some(({ name }) => name === member) ? owner.file : undefined;
    case 'message':
      return owner.fields.some(({ name }) => name === member) ? owner.file : undefined;
    case 'enum':
      return owner.values.some(({ name }) => name === member) ? owner.file : undefined;
    default:
      return undefined;
  }
}

function numbersOf(registry: FileRegistry, extendee: DescMessage): number[] {
  return [...registry]
    .filter((type) => type.kind === 'extension')
    .filter((extension) => extension.extendee.typeName === extendee.typeName)
    .map(({ number }) => number);
}

/** The file and what it imports, so that a client need not ask again. */
function encoded(file: DescFile | undefined): Uint8Array[] | null {
  if (file === undefined) return null;
  const files = new Set<DescFile>();
  const add = (next: DescFile) => {
    if (files.has(next)) return;
    files.add(next);
    next.dependencies.forEach(add);
  };
  add(file);
  // Unknown fields are buf's own notes.
  return [...files].map(({ proto }) =>
    toBinary(FileDescriptorProtoSchema, proto, { writeUnknownFields: false }),
  );
}
