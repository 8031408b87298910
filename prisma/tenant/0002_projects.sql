-- Projects, the documents in them, and a log of what happened.

CREATE TABLE projects (
  id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  owner_id   uuid NOT NULL REFERENCES users (id),
  name       text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
  archived   boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX projects_owner_id_idx ON projects (owner_id);

CREATE TABLE documents (
  id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  project_id uuid NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
  author_id  uuid NOT NULL REFERENCES users (id),
  title      text NOT NULL CHECK (char_length(title) BETWEEN 1 AND 300),
  body       text NOT NULL DEFAULT '',
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX documents_project_id_updated_at_idx ON documents (project_id, updated_at DESC);
CREATE INDEX documents_author_id_idx ON documents (author_id);

CREATE TABLE activity (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  actor_id    uuid REFERENCES users (id) ON DELETE SET NULL,
  project_id  uuid REFERENCES projects (id) ON DELETE SET NULL,
  action      text NOT NULL,
  details     jsonb NOT NULL DEFAULT '{}',
  occurred_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX activity_occurred_at_idx ON activity (occurred_at DESC);
CREATE INDEX activity_project_id_idx ON activity (project_id);
