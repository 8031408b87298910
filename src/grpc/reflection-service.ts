import { type handleBidiStreamingCall, type ServiceDefinition, status } from '@grpc/grpc-js';
import {
  type ServerReflectionRequest,
  type ServerReflectionResponse,
  ServerReflectionService,
} from '../generated/proto/grpc/reflection/v1/reflection.ts';
import type { DescriptorIndex } from './descriptor-index.ts';
import { UnreadableRequest, undecodable } from './requests.ts';

type Answer = NonNullable<ServerReflectionResponse['messageResponse']>;
type Handler = handleBidiStreamingCall<ServerReflectionRequest | UnreadableRequest, ServerReflectionResponse>;

/** Both versions of the protocol, which differ in nothing but the name; older clients know `v1alpha` alone. */
export const reflectionServices: readonly ServiceDefinition[] = ['v1', 'v1alpha'].map((version) => ({
  serverReflectionInfo: {
    ...ServerReflectionService.serverReflectionInfo,
    path: `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
  },
}));

/**
 * The handlers of server reflection, for grpc-js: what `services` there are and what their protos say. Open, for
 * development; https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
 */
export function createReflectionService(index: DescriptorIndex, services: readonly string[]) {
  const serverReflectionInfo: Handler = (call) => {
    call.on('data', (request: ServerReflectionRequest | UnreadableRequest) => {
      if (request instanceof UnreadableRequest) {
        call.emit('error', { code: status.INVALID_ARGUMENT, details: undecodable });
        return;
      }
      const more = call.write({
        validHost: request.host,
        originalRequest: request,
        messageResponse: answerTo(request, index, services),
      });
      if (more) return;
      call.pause();
      call.once('drain', () => call.resume());
    });
    call.on('end', () => call.end());
  };
  return { serverReflectionInfo };
}

function answerTo(
  { messageRequest }: ServerReflectionRequest,
  index: DescriptorIndex,
  services: readonly string[],
): Answer {
  switch (messageRequest?.$case) {
    case 'listServices':
      return {
        $case: 'listServicesResponse',
        value: { service: services.map((name) => ({ name })) },
      };
    case 'fileByFilename':
      return files(index.byFilename(messageRequest.value));
    case 'fileContainingSymbol':
      return files(index.bySymbol(messageRequest.value));
    case 'fileContainingExtension':
      return files(
        index.byExtension(messageRequest.value.containingType, messageRequest.value.extensionNumber),
      );
    case 'allExtensionNumbersOfType': {
      const extensionNumber = index.extensionNumbers(messageRequest.value);
      if (extensionNumber === null) return failure(status.NOT_FOUND, 'There is no such message.');
      return {
        $case: 'allExtensionNumbersResponse',
        value: { baseTypeName: messageRequest.value, extensionNumber },
      };
    }
    case undefined:
      return failure(status.INVALID_ARGUMENT, 'The request asks for nothing.');
  }
}

function files(fileDescriptorProto: Uint8Array[] | null): Answer {
  if (fileDescriptorProto === null) return failure(status.NOT_FOUND, 'No proto here has that.');
  return { $case: 'fileDescriptorResponse', value: { fileDescriptorProto } };
}

function failure(errorCode: status, errorMessage: string): Answer {
  return { $case: 'errorResponse', value: { errorCode, errorMessage } };
}
